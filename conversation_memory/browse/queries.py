"""Parts of an index by number, and what a list shows of each conversation: values and Commands."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..collection.listing import counting
from ..collection.summaries import Summary, summaries
from ..keys import Keys
from ..redis_io.operations import Command, Operation
from ..redis_io.scripts import Script

BROWSE = Script("browse")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of an index: of one owner, last written to from `since` on and before `until` (ms)."""

    owner: bytes | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Extent:
    """The number of conversations."""

    conversations: int
    unlisted: int = 0  # not in the recency index yet


@dataclass(frozen=True, slots=True)
class Finds:
    """The matches in a part of a span."""

    ids: list[bytes]
    next: int | None = None  # the number to continue from, None at the end
    skipped: int = 0  # too large to read
    looked_at: int = 0


def numbered(keys: Keys, span: Span, offset: int, limit: int) -> Command[tuple[int, list[bytes]]]:
    """The number of conversations in the span, and the ids from number `offset` on."""
    times = ["" if time is None else time for time in (span.since, span.until)]
    return Command((BROWSE.call([keys.recency(span.owner)], [offset, limit, *times]),), tuple)


def total(keys: Keys, span: Span) -> Command[int]:
    if span.since is None and span.until is None:
        return counting(keys, span.owner)
    return Command(numbered(keys, span, 0, 0).calls, lambda reply: reply[0])


def shown(keys: Keys, ids: Sequence[bytes], *, glances: bool = True) -> Operation[list[Summary]]:
    """The summaries of those of `ids` that exist."""
    found = (yield summaries(keys, ids, glances=glances)) if ids else []
    return [summary for summary in found if summary.exists]
