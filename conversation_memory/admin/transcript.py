"""The transcript: a part of a conversation as its page shows it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from zlib import crc32

from django.utils.dateparse import parse_datetime
from django.utils.safestring import SafeString
from django.utils.timezone import is_naive
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ..artifacts import Artifact
from ..exceptions import Damaged
from ..models import Conversation
from ..records import Excerpt
from ..rendering import NO_MARKS, Look, Marks, Shown, label, show, visible
from ..rendering.safe_text import cut
from ..rendering.shown_artifacts import pretty
from ..rendering.shown_steps import ShownStep, show_steps
from ..runs import Run
from .formatting import usage_words
from .run_facts import Feedback, Usage, feedback_of, usage_of

PER_PAGE = 50
# Characters of a text, of an unreadable document, and of a value of metadata.
MAX_CHARACTERS = 20_000
MAX_BEGINNING = 4_000
MAX_VALUE = 2_000
# A message with more characters or lines is folded.
FOLDED_FROM, FOLDED_LINES = 3_000, 40
SIDES = ("input", "output")

# The wire format has no time of a message: the first of these keys that is in `meta` tells it.
_ASKED = ("asked", "asked_at", "created_at", "created", "timestamp", "time", "date", "datetime")
_ANSWERED = ("answered", "answered_at", "completed_at", "finished_at")
# Larger numbers are milliseconds: as seconds, this would be the year 5138.
_MILLISECONDS_FROM = 10**11

# Takes the name of a view, the position and the tag of a run, and further parts; returns a URL.
Link = Callable[..., str]


@dataclass(frozen=True, kw_only=True)
class ShownMessage:
    """An input, an output, or a step between them, such as a tool call."""

    side: str
    shown: Shown | None = None
    time: datetime | None = None
    is_long: bool = False
    step: ShownStep | None = None

    @property
    def speaker(self) -> str:
        return _("Input") if self.side == "input" else _("Output")


@dataclass(frozen=True, kw_only=True)
class ShownRun:
    """A run. If it is unreadable, `damaged` is the reason, and `beginning` the stored text."""

    number: int
    tag: str
    raw_url: str
    permalink: str = ""
    remove_url: str = ""
    id: str = ""
    messages: Sequence[ShownMessage] = ()
    meta: Sequence[tuple[str, SafeString]] = ()
    usage: Usage = field(default_factory=Usage)
    feedback: Feedback | None = None
    damaged: str = ""
    beginning: str = ""
    is_hit: bool = False

    @property
    def usage_words(self) -> list[str]:
        return usage_words(self.usage)


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """The runs from number `first` to `last` of `total`, and the links to other pages.

    `earlier` and `later` are their values of `until`, None if there are none.
    """

    entries: Sequence[ShownRun] = ()
    total: int = 0
    metadata: Sequence[tuple[str, SafeString]] = ()
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
    def usage(self) -> Usage:
        """That of the runs on the page."""
        return sum((entry.usage for entry in self.entries), Usage())

    @property
    def usage_words(self) -> list[str]:
        return usage_words(self.usage)

    @property
    def is_paged(self) -> bool:
        return len(self.entries) < self.total


def transcript(
    found: Conversation, link: Link, *, query: str, marks: Marks, may_remove: bool
) -> Transcript:
    # Only a search sets it: the position of the run that it has found, if any.
    hit, is_searched = getattr(found, "hit", None), hasattr(found, "hit")
    excerpt: Excerpt = found.excerpt
    look = Look(url=str, marks=marks, limit=MAX_CHARACTERS)  # one, and so one budget, for the page
    return Transcript(
        entries=[
            _shown_run(run, position, link, look, is_hit=position == hit, may_remove=may_remove)
            for position, run in enumerate(excerpt.runs, excerpt.start)
        ],
        total=excerpt.total,
        metadata=list(facts(excerpt.metadata, marks)),
        query=label(query),
        is_missed=is_searched and hit is None,
    )


def _shown_run(
    run: Run, position: int, link: Link, look: Look, *, is_hit: bool, may_remove: bool
) -> ShownRun:
    tag = tag_of(run)
    look = replace(look, url=lambda path: link("file", position, tag, path))
    number, raw_url = position + 1, link("run", position, tag)
    shown = ShownRun(number=number, tag=tag, raw_url=raw_url, is_hit=is_hit)
    if reason := damage_of(run):
        beginning = beginning_of(run.to_wire())
        return replace(shown, damaged=reason, beginning=beginning, permalink=_permalink(shown))
    return replace(
        shown,
        id=label(run.id),
        permalink=_permalink(shown, run.id),
        usage=usage_of(run),
        feedback=feedback_of(run),
        messages=list(messages_of(run, look)),
        meta=list(facts(run.meta, look.marks)),
        remove_url=link("remove", position, tag) if run.id and may_remove else "",
    )


def _permalink(shown: ShownRun, run_id: str = "") -> str:
    """The page that has the run, wherever it has moved to, and the place on it."""
    page = {"run": run_id} if run_id else {"until": shown.number}
    return f"?{urlencode(page, errors='replace')}#run-{shown.tag}"


def messages_of(run: Run, look: Look) -> Iterator[ShownMessage]:
    """The sides of a run that are not empty, and the steps in between.

    Models write Markdown, people write text.
    """
    sides = (("input", run.input, asked_at(run)), ("output", run.output, answered_at(run)))
    for side, artifact, time in sides:
        if side == "output":
            for step in show_steps(run, look.marks, limit=MAX_VALUE):
                yield ShownMessage(side=step.kind, step=step)
        if artifact.value in ("", None) and not artifact.mime_type:
            continue
        look = replace(look, markdown=side == "output")
        shown = show(artifact, side, look)
        yield ShownMessage(side=side, shown=shown, time=time, is_long=_is_long(artifact))


def _is_long(artifact: Artifact) -> bool:
    """True if the text would fill more than a screen; that of a binary is a few words."""
    text = artifact.text[: FOLDED_FROM + 1]
    return len(text) > FOLDED_FROM or text.count("\n") > FOLDED_LINES


def facts(values: Any, marks: Marks = NO_MARKS) -> Iterator[tuple[str, SafeString]]:
    """Keys and values of `meta` or metadata, readable."""
    if values in (None, {}):
        return
    for key, value in values.items() if isinstance(values, dict) else [("", values)]:
        text, left = cut(pretty(value), MAX_VALUE)
        yield label(key), marks.html(f"{text} …" if left else text)


REASONS = (gettext_noop("it is nested too deeply"), gettext_noop("it is not an object"))


def damage_of(run: Run) -> str:
    """The reason why a run cannot be read, empty if it can. Decodes the run."""
    try:
        run.to_dict()
    except Damaged as error:
        return _(error.reason.partition(": ")[2])
    return ""


def beginning_of(raw: bytes) -> str:
    """The beginning of an unreadable document; a character has up to 4 bytes."""
    return cut(visible(raw[: 4 * MAX_BEGINNING]), MAX_BEGINNING)[0]


def tag_of(run: Run) -> str:
    """A checksum that tells if the run at a position is still the one that a page showed."""
    text = run.to_wire() if damage_of(run) else run.id.encode("utf-8", "surrogatepass")
    return f"{crc32(text):08x}"


def asked_at(run: Run) -> datetime | None:
    return _first(run.input.meta, _ASKED) or _first(run.meta, _ASKED)


def answered_at(run: Run) -> datetime | None:
    return _first(run.output.meta, _ANSWERED + _ASKED) or _first(run.meta, _ANSWERED)


def _first(meta: Any, keys: tuple[str, ...]) -> datetime | None:
    if not isinstance(meta, Mapping):
        return None
    times = (_time(meta[key]) for key in keys if key in meta)
    return next(filter(None, times), None)


def _time(value: Any) -> datetime | None:
    try:
        if isinstance(value, str):
            time = parse_datetime(value)
            return time.replace(tzinfo=UTC) if time and is_naive(time) else time
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value / 1000 if value >= _MILLISECONDS_FROM else value
            return datetime.fromtimestamp(seconds, UTC) if seconds > 10**8 else None
    except (ValueError, OverflowError, OSError):
        pass
    return None
