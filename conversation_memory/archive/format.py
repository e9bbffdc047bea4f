"""The archive as bytes: header, a line for each conversation, footer. No Redis, no files.

It is JSON Lines with the members in a fixed order, so that equal conversations are equal bytes.
docs/reference/archive.md has the specification.
"""

import json
import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.crypto import constant_time_compare, salted_hmac

from ..encryption.sealing import is_sealed
from .questions import STATUSES, Question

FORMAT = "conversation_memory"
VERSION = 1
FOOTER = b'{"conversations": '

_CHECK = b', "crc32": "'
_checked = re.compile(rb'(\{.*), "crc32": "([0-9a-f]{8})"\}\n', re.S).fullmatch
_value = re.compile(rb'([0-9a-f]{8})", "(value|text|base64)": ').match
# The usual line up to its value, half as costly to read as JSON.
_text = rb'"([ !#-\[\]-~]*(?:\\[ -~][ !#-\[\]-~]*)*)"'
_integer = rb"(0|[1-9][0-9]{0,14})"
_usual = re.compile(
    rb'\{"id": %b(?:, "record": \{(?:"owner": %b, )?(?:"title": %b, )?"created": %b, "updated": %b'
    rb'(?:, "ttl": %b)?\})?(?:, "expires": %b)?(?:, "score": %b)?, "runs": %b, "end": %b()'
    rb', "crc32": "([0-9a-f]{8})", "value": ' % (*[_text] * 3, *[_integer] * 7)
).match
_LATEST = 2**53  # milliseconds; JavaScript and jq read larger integers inexactly
_NUMBERS = ("expires", "score", "runs", "end")
_FACTS = ("created", "updated", "ttl")

_decoder = json.JSONDecoder()
_quoted = json.encoder.encode_basestring_ascii

T = TypeVar("T")


class Malformed(ValueError):
    """A line that is not one of an archive. The message quotes nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Where and when (ISO 8601, UTC) an archive was written.

    `conversations` were selected; some of them may have been deleted before they were read.
    `layout` is that of the values, which may differ from that of the index. `key` is the id of the
    key that has encrypted the conversations, None if they are plain.
    """

    # In the order of the line.
    version: int = VERSION
    index: str
    layout: str = "hash"
    conversations: int
    server: str
    created: str
    key: str | None = None


class Facts(NamedTuple):
    """The archived part of a record, times and lifetime in milliseconds."""

    owner: bytes | None = None
    title: bytes = b""
    created: int | None = None
    updated: int | None = None
    ttl: int | None = None


NOTHING = Facts()


class Entry(NamedTuple):
    """One conversation: its document in layout `hash`, and its record.

    `runs` is None if the value is not a conversation; `texts` are the elements of its list then.
    `end` is where the runs of a canonical document end. `score` is that in the recency index if it
    differs from the time of the last write, `checksum` the CRC-32 of the value, `open` the open
    runs.
    """

    id: bytes
    value: bytes
    checksum: int
    runs: int | None = None
    end: int | None = None
    facts: Facts = NOTHING
    expires: int | None = None
    score: int | None = None
    texts: tuple[bytes, ...] = ()
    open: tuple[Question, ...] = ()

    @property
    def size(self) -> int:
        """The bytes of its value, its texts and its open runs."""
        open = sum(len(it.question) + len(it.text) for it in self.open)
        return len(self.value) + sum(map(len, self.texts)) + open


def header_line(header: Header) -> bytes:
    members = asdict(header)
    if header.key is None:  # releases before encryption read no other member
        del members["key"]
    return _with_check({"format": FORMAT, **members})


def read_header(line: bytes) -> Header:
    """Raises `Malformed`."""
    head = _object(line)
    if head.pop("format", None) != FORMAT:
        raise Malformed("its beginning is wrong")
    version = head.get("version")
    if version != VERSION:
        raise Malformed(
            f"its format version is {version!r:.20}; this release reads version {VERSION}"
        )
    _check(line)
    try:
        return Header(**head)
    except TypeError:
        raise Malformed("its header has missing or unknown members") from None


def footer_line(count: int, size: int, digest: str) -> bytes:
    foot = {"conversations": count, "bytes": size, "sha256": digest}
    if signature := _signature(digest):
        foot["signature"] = signature
    return _with_check(foot)


def read_footer(line: bytes) -> dict[str, Any]:
    """Raises `Malformed`."""
    _check(line)
    return _object(line)


def is_signed(footer: dict[str, Any]) -> bool:
    """True if a project with this SECRET_KEY wrote the archive."""
    given = str(footer.get("signature", ""))
    digest = str(footer.get("sha256"))
    made = [_signature(digest, key) for key in (None, *settings.SECRET_KEY_FALLBACKS)]
    return any(signature and constant_time_compare(given, signature) for signature in made)


def entry_line(entry: Entry) -> bytes:
    head = _head(entry).encode()
    checksum = zlib.crc32(head, entry.checksum)
    kind, text = _as_json(entry)
    return b'%b%b%08x", "%b": %b}\n' % (head, _CHECK, checksum, kind, text)


def has_form_of_entry(line: bytes) -> bool:
    """True if the line may be an entry; a line that is not one costs no parsing."""
    return is_sealed(line) or line.startswith(b'{"id') and line.endswith(b"}\n") and _CHECK in line


def read_entry(line: bytes) -> Entry:
    """Raises `Malformed`."""
    usual = _usual(line)
    if usual is None or not line.endswith(b"}\n"):
        return _read_any(line)
    value = line[usual.end() : -2]
    checksum = zlib.crc32(value)
    *names, stated = usual.group(1, 2, 3, 12)
    id, owner, title = [_unescaped(name) if b"\\" in (name or b"") else name for name in names]
    _compare(line[: usual.end(11)], checksum, stated)
    integers = usual.group(4, 5, 6, 7, 8, 9, 10)
    numbers = [None if number is None else int(number) for number in integers]
    created, updated, ttl, expires, score, runs, end = numbers
    facts = Facts(owner, title or b"", created, updated, ttl)
    return Entry(id, value, checksum, runs, end, facts, expires, score)


def _unescaped(text: bytes) -> bytes:
    return _guarded(str.encode, _guarded(_loads, b'"%b"' % text))


def _read_any(line: bytes) -> Entry:
    head, _, rest = line.partition(_CHECK)
    parts = _value(rest)
    if parts is None or not rest.endswith(b"}\n"):
        raise Malformed("it is not a line of an archive")
    value = _from_json(parts[2], rest[parts.end() : -2])
    checksum = zlib.crc32(value)
    _compare(head, checksum, parts[1])
    try:
        return _entry(_object(head + b"}"), parts[2], value, checksum)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise error if isinstance(error, Malformed) else Malformed("a member is wrong") from None


def _compare(head: bytes, checksum: int, stated: bytes) -> None:
    if zlib.crc32(head, checksum) != int(stated, 16):
        raise Malformed("its checksum does not match")


def _head(entry: Entry) -> str:
    """The members in front of the checksum, put together by hand: json.dumps costs three times."""
    id, _, _, runs, end, facts, expires, score, texts, open = entry
    head = "{" + _named("id", id)
    if facts != NOTHING:
        owner, title, *times = facts
        record = "" if owner is None else ", " + _named("owner", owner)
        record += ", " + _named("title", title) if title else ""
        head += f', "record": {{{(record + _numbers(_FACTS, times))[2:]}}}'
    head += _numbers(_NUMBERS, (expires, score, runs, end))
    if texts:
        elements = ", ".join(f"{{{_named('text', text)}}}" for text in texts)
        head += f', "list": [{elements}]'
    if open:
        head += f', "open": [{", ".join(map(_open, open))}]'
    return head


def _open(it: Question) -> str:
    texts = (_named("id", it.id), _named("question", it.question), _named("text", it.text))
    known = f'"status": "{it.status}", "begun": {it.begun}, "reason": {it.reason.decode()}'
    return f"{{{', '.join(texts)}, {known}}}"


def _read_open(members: dict[str, Any]) -> Question:
    id, question, text = (_taken_name(members, name) for name in ("id", "question", "text"))
    status, begun, reason = members["status"], members["begun"], members["reason"]
    if id is None or question is None or status not in STATUSES:
        raise Malformed("an open run is wrong")
    if not _is_number(begun):
        raise Malformed("a number is wrong")
    return Question(id, question, status, begun, json.dumps(str(reason)).encode(), text or b"")


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < _LATEST


def _numbers(names: Sequence[str], values: Sequence[int | None]) -> str:
    members = ""
    for name, value in zip(names, values, strict=True):
        if value is not None:
            members += f', "{name}": {value}'
    return members


def _entry(head: dict[str, Any], kind: bytes, value: bytes, checksum: int) -> Entry:
    id, list = _taken_name(head, "id"), head.pop("list", ())
    open = tuple(map(_read_open, head.pop("open", ())))
    record = head.pop("record", {})
    owner, title = _taken_name(record, "owner"), _taken_name(record, "title")
    created, updated, ttl = [record.pop(name, None) for name in _FACTS]
    expires, score, runs, end = [head.pop(name, None) for name in _NUMBERS]
    if id is None or head or record:
        raise Malformed("it has missing or unknown members")
    for number in (created, updated, ttl, expires, score, runs, end):
        if number is not None and not _is_number(number):
            raise Malformed("a number is wrong")
    if kind == b"value" and runs is None:
        raise Malformed("it does not give the number of runs")
    texts = tuple([_taken_name(text, "text") or b"" for text in list])
    facts = Facts(owner, title or b"", created, updated, ttl)
    return Entry(id, value, checksum, runs, end, facts, expires, score, texts, open)


def _as_json(entry: Entry) -> tuple[bytes, bytes]:
    """The name of the last member and its JSON: the value unchanged if it is JSON on one line."""
    value = entry.value
    fits = entry.runs is not None and b"\n" not in value and b"\0" not in value
    if fits and value.isascii():
        return b"value", value
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return b"base64", b'"%b"' % b64encode(value)
    return (b"value", value) if fits and text[0] != "\ufeff" else (b"text", _quoted(text).encode())


def _from_json(kind: bytes, text: bytes) -> bytes:
    if kind == b"value":
        return text
    value = _guarded(json.loads, text)
    if not isinstance(value, str):
        raise Malformed("its value is not a string")
    if kind == b"text":
        return _guarded(str.encode, value)
    return _guarded(lambda text: b64decode(text, validate=True), value)


def _named(name: str, value: bytes) -> str:
    try:
        return f'"{name}": {_quoted(value.decode())}'
    except UnicodeDecodeError:
        return f'"{name}_base64": "{b64encode(value).decode()}"'


def _taken_name(members: dict[str, Any], name: str) -> bytes | None:
    if name in members:
        return str.encode(members.pop(name))
    text = members.pop(f"{name}_base64", None)
    return None if text is None else b64decode(text, validate=True)


def _with_check(members: dict[str, Any]) -> bytes:
    text = json.dumps(members).encode()[:-1]
    return b'%b%b%08x"}\n' % (text, _CHECK, zlib.crc32(text))


def _check(line: bytes) -> None:
    parts = _checked(line)
    if parts is None or zlib.crc32(parts[1]) != int(parts[2], 16):
        raise Malformed("its checksum does not match")


def _object(text: bytes) -> dict[str, Any]:
    value = _guarded(_loads, text)
    if not isinstance(value, dict):
        raise Malformed("it is not a JSON object")
    value.pop("crc32", None)
    return value


def _loads(text: bytes) -> Any:
    return _decoder.decode(text.decode())


def _guarded(read: Callable[[Any], T], text: Any) -> T:
    try:
        return read(text)
    except RecursionError:
        raise Malformed("it is nested too deeply") from None
    except ValueError:
        raise Malformed("it is not JSON of an archive") from None


def _signature(digest: str, secret: str | bytes | None = None) -> str:
    try:
        salt = "conversation_memory.archive"
        return salted_hmac(salt, digest, secret, algorithm="sha256").hexdigest()
    except ImproperlyConfigured:  # an empty SECRET_KEY, which Django rejects at its first use
        return ""
