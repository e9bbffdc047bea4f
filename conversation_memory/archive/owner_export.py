"""All conversations of an owner as a ZIP: pages to read, and JSON to take along."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from django.template.backends.base import BaseEngine
from django.template.backends.django import DjangoTemplates
from django.utils.translation import get_language, get_language_bidi

from .. import documents
from ..clock import iso, moment
from ..collection.selection import Selection, members
from ..documents import Document
from ..exceptions import Damaged
from ..indexes import ConversationIndex
from ..keys import Id
from ..messages.turns import without_messages
from ..redis_io.operations import Operation, single
from ..rendering import Budget, Look, Shown, image_type, label, pick, show, visible
from ..rendering.shown_artifacts import pretty
from ..rendering.shown_steps import ShownStep, show_steps
from ..replies.open_runs import read_reason
from ..runs import Run, decoded_runs
from ..wire import dumps
from .dump import Dump, Ids
from .format import Entry

VERSION = 1
STEP = "step"

# Seconds of CPU for the Markdown of a whole export; beyond, texts are shown as text.
_MARKDOWN = 60.0
# Rows of the page that lists the conversations are kept in memory up to so many bytes.
_IN_MEMORY = 2**20
# A member that may be longer than 2 GB has to say so before it is written.
_LARGE = 2**27
_TEMPLATES = Path(__file__).parent.parent / "templates"


class Side(NamedTuple):
    """The input or the output of a run, or a step between them."""

    name: str
    shown: Shown | ShownStep


class OwnerExport(Dump):
    """A ZIP of all conversations of an owner, as an iterator of bytes, sync or async.

    It holds `index.html`, a page and a JSON file for each conversation, and `manifest.json`. The
    counts are those of a `Dump`; `runs` is the number of runs, `open_runs` that of questions whose
    answers are not complete. `unreadable` conversations are in it as their stored bytes.
    """

    def __init__(self, index: ConversationIndex, owner: Id):
        super().__init__(index, Selection(owner))
        if owner is None:
            raise ValueError("`owner` is required.")
        self.runs = self.open_runs = 0

    def __iter__(self) -> Iterator[bytes]:
        with self._open():
            for _ in super().__iter__():
                yield self._rendered()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with self._open():
            parts: Any = super().__aiter__()
            async with aclosing(parts):  # an export may be abandoned
                async for _ in parts:
                    # Rendering takes longer than the event loop may stand still.
                    yield await asyncio.to_thread(self._rendered)

    def _select_in(
        self, shard: ConversationIndex, named: Sequence[bytes] | None, ids: Ids
    ) -> Operation[None]:
        yield from super()._select_in(shard, named, ids)
        # Of a record that cannot be read, only the recency index tells the owner.
        keys = shard._layout.keys
        cursor = members(keys.recency(self.selection.owner_key))
        while cursor.goes_on:
            found = yield from cursor.next()
            types = (yield [single("TYPE", keys.record(id)) for id in found]) if found else []
            pairs = zip(found, types, strict=True)
            ids.add((id, -1) for id, type in pairs if type not in (b"hash", b"none"))

    @contextmanager
    def _open(self) -> Iterator[None]:
        self._made = datetime.now(UTC)
        self._budget = Budget(_MARKDOWN)
        self._problems: list[dict[str, Any]] = []
        self._entries: Sequence[Entry] = ()
        self._pipe = _Pipe()
        with SpooledTemporaryFile(_IN_MEMORY) as self._rows:
            with ZipFile(self._pipe, "w", ZIP_DEFLATED) as self._zip:
                yield

    # Dump calls these three. What they return is not used, as rendering comes after reading.

    def _opening(self, server: str) -> bytes:
        self.count = self.unreadable = self.runs = self.open_runs = 0
        return b""

    def _lines(self, entries: Sequence[Entry]) -> bytes:
        self._entries = entries
        return b""

    def _closing(self) -> bytes:
        self._entries = ()
        facts = {"owner": self._owner, "made": self._made, "export": self}
        with self._member("index.html") as page:
            page.write(_html("index_start", **facts))
            self._rows.seek(0)
            while rows := self._rows.read(_IN_MEMORY):
                page.write(rows)
            page.write(_html("index_end", **facts))
        manifest = {
            "format": "conversation_memory.owner",
            "version": VERSION,
            "made": iso(self._made),
            "owner": self._owner,
            "index": self.index.name,
            "conversations": self.count,
            "runs": self.runs,
            "open_runs": self.open_runs,
            "unreadable": self._problems,
        }
        with self._member("manifest.json") as file:
            file.write(json.dumps(manifest, indent=2).encode())
        self._zip.close()
        return b""

    @property
    def _owner(self) -> str:
        return _text(self.selection.owner_key or b"")

    def _rendered(self) -> bytes:
        """The bytes of the ZIP that are ready, after those of what was read last."""
        for entry in self._entries:
            self.count += 1
            self.open_runs += len(entry.open)
            name = f"conversations/{self.count:05d}"
            try:
                document = _document(entry)
                metadata = document.metadata
            except Damaged as damage:
                self._add_unreadable(entry, name, damage.reason)
            else:
                self._add(entry, name, document, metadata)
        return self._pipe.take()

    def _add(self, entry: Entry, name: str, document: Document, metadata: dict[str, Any]) -> None:
        head = dumps(_record(entry))[:-1]
        opened = b", ".join(it.to_json() for it in entry.open)
        with self._member(f"{name}.json", document.raw) as file:
            file.write(b'%b, "open_runs": [%b], "conversation": ' % (head, opened))
            file.write(document.raw)
            file.write(b"}\n")
        facts = {**_facts(entry), "name": name, "runs": document.count}
        facts["open_runs"] = len(entry.open)
        with self._member(f"{name}.html", document.raw) as page:
            page.write(_html("conversation_start", **facts, metadata=_values(metadata)))
            for number, run in enumerate(document.runs, 1):
                page.write(self._run(entry, number, run))
            for number, it in enumerate(entry.open, document.count + 1):
                reason = visible(read_reason(it.reason))
                page.write(self._run(entry, number, it.run, state=it.status, reason=reason))
            page.write(_html("conversation_end", **facts))
        self.runs += document.count
        self._rows.write(_html("row", **facts))

    def _run(self, entry: Entry, number: int, run: Run, **state: str) -> bytes:
        try:
            run.to_dict()
        except Damaged as damage:
            reason = damage.reason.partition(": ")[2] or damage.reason
            self._problems.append({"id": _text(entry.id), "run": number, "reason": reason})
            stored = visible(run.to_wire())
            return _html("run", number=number, damage=label(reason), stored=stored, **state)
        sides = [*_sides(run, self._budget)]
        has_steps = any(side.name == STEP for side in sides)
        # The steps show the messages; the JSON file has them.
        meta = _values(without_messages(run.meta) if has_steps else run.meta)
        return _html("run", number=number, sides=sides, meta=meta, **state)

    def _add_unreadable(self, entry: Entry, name: str, reason: str) -> None:
        self.unreadable += 1
        opened = [part for it in entry.open for part in (it.question, it.text)]
        raw = b"\n".join([entry.value, *entry.texts, *opened])
        with self._member(f"{name}.raw", raw) as file:
            file.write(raw)
        problem = {"id": _text(entry.id), "reason": reason, "file": f"{name}.raw"}
        self._problems.append(problem)
        self._rows.write(_html("row", **_facts(entry), name=name, damage=label(reason)))

    def _member(self, name: str, content: bytes = b"") -> Any:
        """A file in the ZIP to write to; its size follows from that of `content`."""
        info = ZipInfo(name, self._made.timetuple()[:6])
        info.compress_type = ZIP_DEFLATED
        info.external_attr = 0o600 << 16
        return self._zip.open(info, "w", force_zip64=len(content) > _LARGE)


class _Pipe(io.RawIOBase):
    """Keeps what is written until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, part: Any) -> int:
        self._parts.append(bytes(part))
        return len(part)

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _document(entry: Entry) -> Document:
    """Raises `Damaged`."""
    if entry.runs is None:
        documents.read(entry.value)
        decoded_runs(entry.texts)
        raise Damaged("runs of its list are missing")
    if entry.end is None:
        return documents.read(entry.value)
    return documents.opened(entry.value, entry.runs, entry.end, entry.checksum)


def _record(entry: Entry) -> dict[str, Any]:
    facts = entry.facts
    return {
        "id": _text(entry.id),
        "owner": None if facts.owner is None else _text(facts.owner),
        "title": _text(facts.title),
        "created": iso(moment(facts.created)),
        "updated": iso(moment(facts.updated)),
        "expires": iso(moment(entry.expires)),
    }


def _facts(entry: Entry) -> dict[str, Any]:
    """What a page shows of a record."""
    return {
        "id": label(entry.id),
        "title": label(entry.facts.title),
        "created": moment(entry.facts.created),
        "updated": moment(entry.facts.updated),
        "expires": moment(entry.expires),
    }


def _sides(run: Run, budget: Budget) -> Iterator[Side]:
    """The sides of a run that are not empty, and its steps.

    Models write Markdown, people write text.
    """

    def url(path: str) -> str:
        """The content of a binary itself, as the page has nothing beside it."""
        side, *numbers = path.split(".")
        artifact = pick(getattr(run, side), numbers)
        if artifact is None or not isinstance(artifact.value, str):
            return ""
        kind = image_type(artifact) or "application/octet-stream"
        return f"data:{kind};base64,{artifact.value}" if artifact.mime_type else ""

    for side, artifact in (("input", run.input), ("output", run.output)):
        if side == "output":
            yield from (Side(STEP, step) for step in show_steps(run, limit=None, most=None))
        if artifact.value not in ("", None) or artifact.mime_type:
            look = Look(url=url, markdown=side == "output", budget=budget)
            yield Side(side, show(artifact, side, look))


def _values(values: Any) -> list[tuple[str, str]]:
    """Keys and values of `meta` or metadata, readable."""
    if values in (None, {}):
        return []
    pairs = values.items() if isinstance(values, dict) else [("", values)]
    return [(label(key), pretty(value)) for key, value in pairs]


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


@cache
def _engine() -> BaseEngine:
    # Not that of the project, which may have no templates at all.
    return DjangoTemplates(
        {"NAME": "export", "DIRS": [_TEMPLATES], "APP_DIRS": False, "OPTIONS": {}}
    )


def _html(part: str, /, **context: Any) -> bytes:
    template = _engine().get_template(f"conversation_memory/export/{part}.html")
    language = {"language": get_language() or "en", "is_bidi": get_language_bidi()}
    return str(template.render({**context, **language})).encode("utf-8", "backslashreplace")
