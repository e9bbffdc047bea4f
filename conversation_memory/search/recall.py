"""The runs most related to a text, for a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..exceptions import RedisMisconfigured
from ..layouts import Place
from ..runs import Run
from .embeddings import cosine

SCOPES = ("conversation", "owner")
# So many runs are compared one by one where there is no RediSearch.
FEW = 200


def options(place: Place, k: int, of: str, owner: str | None) -> dict[str, Any]:
    """What to search for. Raises ValueError for what cannot be asked."""
    if of not in SCOPES:
        raise ValueError(f"of is one of {', '.join(SCOPES)}.")
    if of == "owner" and owner is None:
        raise ValueError("Only a driver that was opened with an owner can recall of that owner.")
    conversation = place.id if of == "conversation" else None
    return {"owner": place.owner if owner else None, "conversation": conversation, "limit": k}


def too_many(alias: str, reason: str, of: str) -> RedisMisconfigured:
    what = "all of an owner" if of == "owner" else f"more than {FEW:,} runs"
    return RedisMisconfigured(f"Recalling from {what} needs RediSearch (alias {alias!r}). {reason}")


def nearest(runs: Sequence[Run], vectors: Sequence[bytes], to: bytes, k: int) -> list[Run]:
    """The `k` runs whose vectors are most like another one."""
    ranked = sorted(range(len(runs)), key=lambda number: -cosine(vectors[number], to))
    return [runs[number] for number in ranked[:k]]
