"""Chat exports: files that have a conversation on each line, and no header and footer.

`messages` is what most services export, OpenAI's list of messages; `turns` has pairs of texts,
`{"conversation_id": …, "metadata": {…}, "turns": [{"user": …, "assistant": …}]}`.

A message of a user begins a run, and the last text of the assistant is its output. Everything else
(system prompts, tool calls and their results, parts that are not text) is kept unchanged in the
`meta` of the run, and written again unless the run was changed since.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from hashlib import sha256
from typing import IO, Any

from ..artifacts import Artifact
from ..clock import iso, moment, parse
from ..documents import build
from ..keys import encode
from ..messages import chat_messages, said
from ..runs import Run
from .archive import Progress, Source
from .dump import Dump, Ids
from .format import Entry, Facts

_EVERY = 1000
_KNOWN = {"id", "conversation_id", "owner", "title", "created", "updated", "metadata"}
_LISTS = {"messages", "turns"}
_SYSTEM = ("system", "developer")
_EXPORT = "export"  # the key in the metadata for other members of a line

Message = dict[str, Any]
Exchange = tuple[str, str, dict[str, Any] | None]  # input, output and `meta` of a run


class Chats(Source):
    """The conversations of a chat export, as those of an archive.

    Without an id, one is derived from the content; without times, those of the restore are used. So
    the same file can be restored again.
    """

    trusted = is_new = True

    def __init__(self, file: IO[bytes], name: str, longest: int, format: str):
        super().__init__(file, name, longest)
        self._read = READERS[format]

    def verify(self, progress: Progress = bool) -> None:
        """Raises `ArchiveDamaged` unless every line is a conversation with an id of its own."""
        with closing(Ids()) as ids:
            for number, entry in self._numbered():
                if not ids.add_new(entry.id):
                    raise self._damaged_at(number, "its id occurred before")
                self.count += 1
                self.longest = max(self.longest, len(entry.value))
                if not number % _EVERY:
                    progress(self.position)

    def entries(self) -> Iterator[Entry]:
        return (entry for _, entry in self._numbered())

    def _numbered(self) -> Iterator[tuple[int, Entry]]:
        with self._lines() as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, self._entry(number, line)

    def _entry(self, number: int, line: bytes) -> Entry:
        try:
            data = json.loads(line)
            if not isinstance(data, dict):
                raise ValueError("it is not a JSON object")
            return _entry(data, [*self._read(data)], line)
        except json.JSONDecodeError:
            raise self._damaged_at(number, "it is not JSON") from None
        except RecursionError:
            raise self._damaged_at(number, "it is nested too deeply") from None
        except ValueError as error:
            raise self._damaged_at(number, str(error)) from None


class ChatDump(Dump):
    """A dump as `messages`. Unreadable conversations are omitted, and counted as `unreadable`."""

    def _opening(self, server: str) -> bytes:
        super()._opening(server)
        self._sealed = None  # for other programs
        return b""

    def _lines(self, entries: Sequence[Entry]) -> bytes:
        super()._lines(entries)
        return b"".join(_line(entry) for entry in entries if entry.runs is not None)

    def _closing(self) -> bytes:
        return b""


def _from_messages(data: dict[str, Any]) -> Iterator[Exchange]:
    messages = data.get("messages")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise ValueError("it has no list of messages")
    return map(_exchange, _groups(messages))


def _groups(messages: list[Message]) -> Iterator[list[Message]]:
    """The messages of each run: those of a user, and everything up to the next one of a user."""
    group: list[Message] = []
    for message in messages:
        if message.get("role") == "user" and any(one.get("role") not in _SYSTEM for one in group):
            yield group
            group = []
        group.append(message)
    if group:
        yield group


def _exchange(group: list[Message]) -> Exchange:
    input, output = _last_text(group, "user"), _last_text(group, "assistant")
    is_plain = said(input, output) == group
    return input, output, None if is_plain else {"messages": group}


def _last_text(group: list[Message], role: str) -> str:
    texts = [_text(one.get("content")) for one in group if one.get("role") == role]
    return next((text for text in reversed(texts) if text), "")


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _from_turns(data: dict[str, Any]) -> Iterator[Exchange]:
    turns = data.get("turns")
    if not isinstance(turns, list):
        raise ValueError("it has no list of turns")
    for turn in turns:
        if not isinstance(turn, dict):
            raise ValueError("a turn is not a JSON object")
        question, answer = turn.get("user", ""), turn.get("assistant", "")
        if not (isinstance(question, str) and isinstance(answer, str)):
            raise ValueError("`user` and `assistant` of a turn must be strings")
        yield question, answer, None


# Each raises ValueError.
READERS = {"messages": _from_messages, "turns": _from_turns}


def _entry(data: dict[str, Any], exchanges: list[Exchange], line: bytes) -> Entry:
    """The conversation of a line, with its other members as metadata. Raises ValueError."""
    metadata, owner = data.get("metadata") or {}, data.get("owner")
    if not isinstance(metadata, dict):
        raise ValueError("its metadata is not a JSON object")
    if not isinstance(owner, str | int | None):
        raise ValueError("its owner must be a string or a number")
    if others := {key: data[key] for key in data if key not in _KNOWN | _LISTS}:
        metadata = {**metadata, _EXPORT: others}
    id, updated = encode(_id(data, line)), data.get("updated")
    created = data.get("created", updated)
    runs = [_run(id, number, exchange) for number, exchange in enumerate(exchanges)]
    document = build(runs, metadata)
    return Entry(
        id=id,
        value=document.raw,
        checksum=int(document.crc, 16),
        runs=document.count,
        end=document.canonical_end,
        facts=Facts(
            owner=encode(owner) if owner else None,
            title=str(data.get("title") or "").encode("utf-8", "replace"),
            created=parse(created),
            updated=parse(updated or created),
        ),
    )


def _id(data: dict[str, Any], line: bytes) -> str:
    id = data.get("conversation_id", data.get("id"))
    if id is None:
        return f"chat-{sha256(line.strip()).hexdigest()[:24]}"
    if not isinstance(id, str | int):
        raise ValueError("its id must be a string or a number")
    return str(id)


def _run(conversation_id: bytes, number: int, exchange: Exchange) -> Run:
    # The same ids each time, so that restoring a file again changes nothing.
    def id_of(part: str) -> str:
        return sha256(b"%b\n%d %b" % (conversation_id, number, part.encode())).hexdigest()[:32]

    input, output, meta = exchange
    artifacts = Artifact(input, id=id_of("input")), Artifact(output, id=id_of("output"))
    return Run(*artifacts, meta, id=id_of("run"))


def _line(entry: Entry) -> bytes:
    document = json.loads(entry.value)
    metadata = dict(document.get("metadata") or {})
    others = metadata.pop(_EXPORT, {})
    facts = entry.facts
    found = {
        "id": entry.id.decode("utf-8", "replace"),
        "owner": facts.owner and facts.owner.decode("utf-8", "replace"),
        "title": facts.title.decode("utf-8", "replace"),
        "created": iso(moment(facts.created)),
        "updated": iso(moment(facts.updated)),
        "metadata": metadata,
    }
    runs = [Run.from_dict(run) for run in document.get("runs") or []]
    known = {name: value for name, value in found.items() if value}
    said = [message for run in runs for message in chat_messages(run)]
    others = others if isinstance(others, dict) else {_EXPORT: others}
    return json.dumps({**others, **known, "messages": said}).encode() + b"\n"
