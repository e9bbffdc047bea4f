"""Chat exports: files that have a conversation on each line, and no header and footer.

`messages` is what most services export, OpenAI's list of messages; `turns` has pairs of a user's
and an assistant's text.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from hashlib import sha256
from typing import IO, Any

from ..documents import build
from ..exceptions import ArchiveDamaged
from ..keys import encode
from . import chat_messages as messages
from . import files, times, turns
from .archive import Progress
from .chat_messages import Chat
from .dump import Dump
from .format import Entry, Facts
from .snapshot_ids import Ids

READERS: dict[str, Callable[[dict[str, Any]], Chat]] = {
    "messages": messages.chat,
    "turns": turns.chat,
}

_EVERY = 1000


class Chats:
    """The conversations of a chat export, as those of an archive.

    One without an id gets one that its content decides, and one without times has those of the
    restore: so the same file can be read again.
    """

    trusted = True
    is_new = True

    def __init__(self, file: IO[bytes], name: str, longest: int, format: str):
        self._file = file
        self._name = name
        self._longest = longest
        self._chat = READERS[format]
        self.count = self.longest = 0
        self.size = file.seek(0, io.SEEK_END)

    @property
    def position(self) -> int:
        """How many bytes of the file were read in the present pass."""
        return min(self._file.tell(), self.size)

    def verify(self, progress: Progress = bool) -> None:
        """Raises `ArchiveDamaged` unless every line is a conversation, each another one."""
        with closing(Ids()) as ids:
            for number, entry in self._numbered():
                if not ids.add_new(entry.id):
                    raise self._damaged(number, "a conversation of that id came before")
                self.count += 1
                self.longest = max(self.longest, len(entry.value))
                if not number % _EVERY:
                    progress(self.position)

    def entries(self) -> Iterator[Entry]:
        """The conversations, in the order of the file. Raises `ArchiveDamaged`."""
        return (entry for _, entry in self._numbered())

    def _numbered(self) -> Iterator[tuple[int, Entry]]:
        with files.lines(self._file, self._longest, self._name) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, self._entry(number, line)

    def _entry(self, number: int, line: bytes) -> Entry:
        try:
            data = json.loads(line)
            if not isinstance(data, dict):
                raise ValueError("it is no JSON object")
            chat = self._chat(data)
            return _entry(chat, encode(_name(data, line)))
        except json.JSONDecodeError:
            raise self._damaged(number, "it is no JSON") from None
        except RecursionError:
            raise self._damaged(number, "it is nested too deeply") from None
        except ValueError as error:
            raise self._damaged(number, str(error)) from None

    def _damaged(self, number: int, why: str) -> ArchiveDamaged:
        return ArchiveDamaged(
            f"{self._name} is damaged at line {number:,}: {why}. Nothing of it was used."
        )


class ChatDump(Dump):
    """A dump as `messages`. What is no conversation is left out, and counted as `unreadable`."""

    def _opening(self, server: str) -> bytes:
        super()._opening(server)
        return b""

    def _lines(self, entries: Sequence[Entry]) -> bytes:
        super()._lines(entries)
        return b"".join(messages.line(entry) for entry in entries if entry.runs is not None)

    def _closing(self) -> bytes:
        return b""


def _name(data: dict[str, Any], line: bytes) -> str:
    name = data.get("conversation_id", data.get("id"))
    if name is None:
        return f"chat-{sha256(line.strip()).hexdigest()[:24]}"
    if not isinstance(name, str | int):
        raise ValueError("its id is neither a text nor a number")
    return str(name)


def _entry(chat: Chat, id: bytes) -> Entry:
    document = build(chat.runs(id), chat.metadata)
    return Entry(
        id=id,
        value=document.raw,
        checksum=int(document.mark.rpartition("-")[2], 16),
        runs=document.count,
        end=document.end if document.pieces is None else None,
        facts=Facts(
            owner=None if chat.owner is None else encode(chat.owner),
            title=chat.title.encode("utf-8", "replace"),
            created=times.milliseconds(chat.created),
            updated=times.milliseconds(chat.updated),
        ),
    )
