"""A part of a conversation as the page shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

from django.utils.dateparse import parse_datetime
from django.utils.safestring import SafeString
from django.utils.timezone import is_naive
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ..exceptions import Damaged
from ..records import Excerpt
from ..rendering import NO_MARKS, Look, Marks, Shown, label, show, visible
from ..rendering.artifacts import pretty
from ..rendering.safe_text import cut
from ..runs import Artifact, Run

PER_PAGE = 50
# Of a text, of an unreadable document, and of a value among facts.
MAX_CHARACTERS = 20_000
MAX_BEGINNING = 4_000
MAX_VALUE = 2_000
SIDES = ("input", "output")

# The wire format has no time of a message: the first of these keys that is in `meta` tells it.
_ASKED = ("asked", "asked_at", "created_at", "created", "timestamp", "time", "date", "datetime")
_ANSWERED = ("answered", "answered_at", "completed_at", "finished_at")
# Beyond, a number counts milliseconds: as seconds, it would be in the year 5138.
_MILLISECONDS_FROM = 10**11

# The name of a view, the position and the tag of a run, and further parts -> an address.
Link = Callable[..., str]


@dataclass(frozen=True, kw_only=True)
class Message:
    """What was said: one side of a run."""

    side: str
    shown: Shown
    time: datetime | None

    @property
    def speaker(self) -> str:
        return _("Input") if self.side == "input" else _("Output")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A run. If it is `damaged`, that says why, and `beginning` is what is stored."""

    number: int
    raw_url: str
    remove_url: str = ""
    id: str = ""
    messages: Sequence[Message] = ()
    meta: Sequence[tuple[str, SafeString]] = ()
    damaged: str = ""
    beginning: str = ""
    is_hit: bool = False


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """The entries from number `first` to `last` of `total`, and where the other pages are.

    `earlier` and `later` are what to give as `until` for them, None where there are none.
    """

    entries: Sequence[Entry] = ()
    total: int = 0
    metadata: Sequence[tuple[str, SafeString]] = field(default=())
    query: str = ""
    is_missed: bool = False

    @property
    def first(self) -> int:
        return self.entries[0].number if self.entries else 0

    @property
    def last(self) -> int:
        return self.entries[-1].number if self.entries else 0

    @property
    def earlier(self) -> int | None:
        return self.first - 1 if self.first > 1 else None

    @property
    def later(self) -> int | None:
        return min(self.last + PER_PAGE, self.total) if self.last < self.total else None

    @property
    def oldest(self) -> int:
        return min(PER_PAGE, self.total)

    @property
    def is_paged(self) -> bool:
        return len(self.entries) < self.total


def transcript(
    found: Excerpt,
    link: Link,
    *,
    query: str,
    marks: Marks,
    hit: int | None,
    is_searched: bool,
    may_remove: bool,
) -> Transcript:
    """What the page shows of `found`; `hit` is the position of the run that a search has found."""
    look = Look(url=str, marks=marks, limit=MAX_CHARACTERS)  # one, and so one budget, for the page
    return Transcript(
        entries=[
            entry(run, position, link, look, is_hit=position == hit, may_remove=may_remove)
            for position, run in enumerate(found.runs, found.start)
        ],
        total=found.total,
        metadata=list(facts(found.metadata, marks)),
        query=label(query),
        is_missed=is_searched and hit is None,
    )


def entry(
    run: Run, position: int, link: Link, look: Look, *, is_hit: bool, may_remove: bool
) -> Entry:
    """The run at `position` of its conversation."""
    tag = tag_of(run)
    look = replace(look, url=lambda place: link("file", position, tag, place))
    shown = Entry(number=position + 1, raw_url=link("run", position, tag), is_hit=is_hit)
    if reason := damage(run):
        text, _left = cut(visible(run.to_wire()[: 4 * MAX_BEGINNING]), MAX_BEGINNING)
        return replace(shown, damaged=reason, beginning=text)
    return replace(
        shown,
        id=label(run.id),
        messages=list(messages(run, look)),
        meta=list(facts(run.meta, look.marks)),
        remove_url=link("remove", position, tag) if run.id and may_remove else "",
    )


def messages(run: Run, look: Look) -> Iterator[Message]:
    """Both sides of a run but for what is empty; models write Markdown, people write text."""
    times = {"input": asked_at(run), "output": answered_at(run)}
    for side in SIDES:
        artifact: Artifact = getattr(run, side)
        if artifact.value in ("", None) and not artifact.mime_type:
            continue
        look = replace(look, markdown=side == "output")
        yield Message(side=side, shown=show(artifact, side, look), time=times[side])


def facts(values: Any, marks: Marks = NO_MARKS) -> Iterator[tuple[str, SafeString]]:
    """Keys and values of `meta` or metadata, for reading."""
    if values in (None, {}):
        return
    for key, value in values.items() if isinstance(values, dict) else [("", values)]:
        text, left = cut(pretty(value), MAX_VALUE)
        yield label(key), marks.html(f"{text} …" if left else text)


REASONS = (gettext_noop("it is nested too deeply"), gettext_noop("it is not an object"))


def damage(run: Run) -> str:
    """Why a run cannot be read, empty if it can: then it is decoded, once and for all."""
    try:
        run.to_dict()
    except Damaged as error:
        return _(error.reason.partition(": ")[2])
    return ""


def has_words(run: Run, marks: Marks) -> bool:
    """Whether a run can be read and is one that a search finds."""
    return not damage(run) and marks.are_in(run)


def tag_of(run: Run) -> str:
    """Tells whether the run at a position is still the one that a page was made of."""
    text = run.to_wire() if damage(run) else run.id.encode("utf-8", "surrogatepass")
    return f"{crc32(text):08x}"


def asked_at(run: Run) -> datetime | None:
    """When the input was written, by the `meta` of the input or of the run."""
    return _first(run.input.meta, _ASKED) or _first(run.meta, _ASKED)


def answered_at(run: Run) -> datetime | None:
    """When the output was written, by the `meta` of the output or of the run."""
    return _first(run.output.meta, _ANSWERED + _ASKED) or _first(run.meta, _ANSWERED)


def _first(meta: Any, keys: tuple[str, ...]) -> datetime | None:
    if not isinstance(meta, Mapping):
        return None
    times = (_time(meta[key]) for key in keys if key in meta)
    return next(filter(None, times), None)


def _time(value: Any) -> datetime | None:
    try:
        if isinstance(value, str):
            return _aware(parse_datetime(value))
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value / 1000 if value >= _MILLISECONDS_FROM else value
            return datetime.fromtimestamp(seconds, UTC) if seconds > 10**8 else None
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _aware(time: datetime | None) -> datetime | None:
    """A time without a zone is taken to be in UTC."""
    return time.replace(tzinfo=UTC) if time and is_naive(time) else time
