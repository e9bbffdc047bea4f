"""Searching by meaning: the nearest vectors, and how to rank them together with words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .replies import Reply, Row

# So many of each ranking are considered, or more if a page asks for more.
CANDIDATES = 100
# Of the usual formula for joining rankings, 1 / (60 + rank).
_DAMPING = 60

DISTANCE = "distance"


def nearest(query: bytes, count: int) -> bytes:
    """A query for the `count` runs that satisfy another one whose vectors are nearest."""
    return b"(%b)=>[KNN %d @v $vector AS %b]" % (query, count, DISTANCE.encode())


def by_distance(reply: Reply) -> Reply:
    """The rows with their likeness, from 0 to 1, as score."""
    rows = [
        Row(row.token, row.suffix, 1 - _distance(row) / 2, row.fields)
        for row in sorted(reply.rows, key=_distance)
    ]
    return Reply(len(rows), rows, reply.reasons)


def fused(replies: Sequence[Reply]) -> Reply:
    """The rows of several rankings as one: what is high up in each comes first."""
    scores: dict[tuple[bytes, bytes], float] = {}
    rows: dict[tuple[bytes, bytes], Row] = {}
    for reply in replies:
        for rank, row in enumerate(reply.rows, 1):
            key = (row.token, row.suffix)
            rows.setdefault(key, row)
            scores[key] = scores.get(key, 0) + 1 / (_DAMPING + rank)
    order = sorted(rows, key=lambda key: -scores[key])
    ranked = [Row(*key, scores[key], rows[key].fields) for key in order]
    return Reply(len(ranked), ranked, [reason for reply in replies for reason in reply.reasons])


def page(reply: Reply, offset: int, limit: int) -> Reply:
    return Reply(reply.total, reply.rows[offset : offset + limit], reply.reasons)


def _distance(row: Row) -> float:
    value: Any = row.fields.get(DISTANCE.encode(), b"2")
    return float(value)
