"""Facets and activity: counting the runs that a search would find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, tzinfo
from functools import partial
from typing import Any

from django.utils import timezone

from ..redis_io.operations import Operation, single
from ..search_index.index_state import State
from ..search_index.schema import SEPARATOR, Schema
from . import facets
from .engine import APPROXIMATE, RESTLESS, Engine
from .facets import Counts
from .redisearch import expression, limits, timed
from .replies import CUT_SHORT, sentences
from .request import Request
from .results import Activity, Facets
from .scan import Candidate, Scan

Counted = tuple[Counts, str]


class Counting:
    """Counts of one index, by RediSearch or by a scan."""

    def __init__(self, engine: Engine, scan: Scan, schema: Schema | None):
        self._engine = engine
        self._scan = scan
        self._schema = schema

    def facets(self, request: Request, name: str, limit: int) -> Operation[Facets]:
        if self._schema is None or self._schema.fields.get(name) not in ("tag", "numeric"):
            raise ValueError(f"{name[:100]!r} is no tag or number among the FIELDS of SEARCH.")
        field, kind = self._schema.field(name)
        part = facets.by_value(field, kind)

        def values(candidate: Candidate) -> list[str]:
            return candidate.values.get(field, b"").decode().split(SEPARATOR)

        pairs, reason = yield from self._counts(request, part, values)
        return Facets(facets.named(pairs, kind, limit), reason)

    def activity(self, request: Request, by: str, zone: tzinfo | None) -> Operation[Activity]:
        if by not in facets.PERIODS:
            raise ValueError(f"by is one of {', '.join(facets.PERIODS)}.")
        zone = zone or timezone.get_current_timezone()
        step = facets.step_of(zone)

        def values(candidate: Candidate) -> list[str]:
            return [_number(candidate.record.updated, step)]

        pairs, reason = yield from self._counts(request, facets.by_time(step), values)
        return Activity(facets.in_periods(pairs, step, by, zone), reason)

    def _counts(
        self, request: Request, part: list[Any], values: Callable[[Candidate], list[str]]
    ) -> Operation[Counted]:
        if request.is_hopeless:
            return [], ""
        cut_short: Counted = ([], CUT_SHORT)
        ask = partial(self._aggregate, request, part)
        scan = partial(self._count, request, values)
        return (yield from self._engine.answered(request, ask, scan, cut_short))

    def _aggregate(self, request: Request, part: list[Any], state: State) -> Operation[Counted]:
        for _ in range(3):
            scope = yield from self._engine.tags.scope(request.filters)
            if scope is None:
                lost = yield from self._engine.tags.loss(request.filters)
                return [], state.reason or lost
            call = ("FT.AGGREGATE", state.name, expression(request, scope), "VERBATIM", *part)
            aggregate = single(*call, *limits(), decode=facets.counts)
            (pairs, reasons), late = yield from timed(aggregate)
            checked = yield from self._engine.checking.check([], request.filters, scope)
            if checked is not None:
                vague = "" if request.is_exact else APPROXIMATE
                return pairs, sentences([state.reason, *reasons, *late, vague])
        return [], RESTLESS

    def _count(
        self, request: Request, values: Callable[[Candidate], list[str]], why: str
    ) -> Operation[Counted]:
        counter: Counter[str] = Counter()

        def visit(candidate: Candidate) -> None:
            if request.query.matches(self._scan.stream(candidate)):
                counter.update({*values(candidate)} - {""})

        walk = yield from self._scan.walk(request.filters, visit)
        return [*counter.items()], self._scan.reason(request, walk, why)


def _number(moment: datetime | None, step: int) -> str:
    """The step in which a time is, nothing if it is not known."""
    return "" if moment is None else str(int(moment.timestamp() * 1000 // step))
