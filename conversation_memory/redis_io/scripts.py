"""The Lua scripts, put together from the files of `scripts/`, and their calls."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from hashlib import sha1
from importlib.resources import files
from typing import Any

from .message_pack import packed

Call = tuple[Any, ...]

# Commands that write. A script that is denied the second of them would leave half a write.
WRITES = frozenset(
    "COPY DEL HDEL HINCRBY HSET HSETNX LREM LSET LTRIM PEXPIRE RENAME RPUSH SADD SET SPOP SREM "
    "UNLINK XADD XTRIM ZADD ZREM ZREMRANGEBYSCORE".split()
)

# From 4,000 arguments on, ElastiCache Serverless refuses a call.
_MOST_ARGUMENTS = 3_900

_called = re.compile(r"(?:redis\.call|tolerant)\('([A-Z]+)'").findall
_needs = re.compile(r"-- needs: (.*)\n").match
_functions = re.compile(
    r"^local function (\w+)\(.*?\)(?: .* end|\n(?s:.*?)\nend)$", re.MULTILINE
).finditer
_words = re.compile(r"\w+").findall

_sources: dict[str, bytes] = {}
_writing: set[str] = set()  # digests of scripts


class Script:
    """A Lua script: a file of `scripts/`, preceded by those that its first line says it needs.

    A script that writes first asks if the user may run all its commands.
    """

    def __init__(
        self, name: str, *, documents: bool = True, settles: bool = False, packs: bool = False
    ):
        *needed, own = dict.fromkeys(_parts(name, documents=documents))
        parts = [*needed, *(["replies", "settles"] if settles else []), own]
        code = _joined(parts)
        self._name, self._documents, self._settles = name, documents, settles
        self.forgets = "forgets" in parts  # it takes the keys of `Keys.forgetting()`
        self.commands = sorted({*_called(code)})
        is_writing = not WRITES.isdisjoint(self.commands)
        if is_writing:
            commands = ", ".join(f"'{command}'" for command in self.commands)
            code = _joined(["allowed"]).replace("ARGV", f"{{{commands}}}") + "\n" + code
        if packs:
            code = "local ARGV = cmsgpack.unpack(ARGV[1])\n" + code
        self.source = code.encode()
        self.sha = sha1(self.source, usedforsecurity=False).hexdigest()
        _sources[self.sha] = self.source
        if is_writing:
            _writing.add(self.sha)

    @cached_property
    def without_documents(self) -> Script:
        """The script without the code for search documents, for an index without SEARCH."""
        return Script(self._name, documents=False)

    @cached_property
    def settling(self) -> Script:
        """The script, which also settles the open run whose output it writes; see settles.lua."""
        return Script(self._name, documents=self._documents, settles=True)

    @cached_property
    def packing(self) -> Script:
        """The script for a call of very many arguments, which get packed into one."""
        own = {"documents": self._documents, "settles": self._settles}
        return Script(self._name, **own, packs=True)

    def call(self, keys: Sequence[bytes], args: Sequence[Any]) -> Call:
        if len(args) > 1 and len(keys) + len(args) > _MOST_ARGUMENTS:
            return self.packing.call(keys, [packed([*map(_encoded, args)])])
        return ("EVALSHA", self.sha, len(keys), *keys, *args)

    def whole(self, keys: Sequence[bytes], args: Sequence[Any]) -> Call:
        """The call with the source. In a MULTI, an unknown digest would not stop other calls."""
        return ("EVAL", self.source, len(keys), *keys, *args)


def declaring(call: Call, keys: Sequence[bytes]) -> Call:
    """`call` with more keys, behind those that it has."""
    verb, script, count, *rest = call
    return (verb, script, count + len(keys), *rest[:count], *keys, *rest[count:])


def with_source(call: Call) -> Call:
    """`call` as EVAL, for a server that does not know the script yet."""
    return (call[0].replace("EVALSHA", "EVAL"), _sources[call[1]], *call[2:])


def writes(call: Call) -> bool:
    """True for a call that changes keys, or for a script that does."""
    return call[0] in WRITES or call[0] in ("EVAL", "EVALSHA") and _sha_of(call[1]) in _writing


def as_read_only(call: Call) -> Call:
    """`call` as EVALSHA_RO if it is of a script that does not write."""
    if call[0] not in ("EVAL", "EVALSHA") or writes(call):
        return call
    return (f"{call[0]}_RO", *call[1:])


def _encoded(arg: Any) -> bytes:
    """An argument as redis-py sends it."""
    return arg if isinstance(arg, bytes) else str(arg).encode()


def _sha_of(script: str | bytes) -> str:
    return script if isinstance(script, str) else sha1(script, usedforsecurity=False).hexdigest()


def _parts(name: str, *, documents: bool) -> Iterator[str]:
    if name == "documents" and not documents:
        name = "no_documents"
    if needed := _needs(_text(name)):
        for other in needed[1].split(", "):
            yield from _parts(other, documents=documents)
    yield name


def _text(name: str) -> str:
    return files("conversation_memory").joinpath("scripts", f"{name}.lua").read_text()


def _joined(parts: Sequence[str]) -> str:
    """The code of parts without the functions that nothing uses: each call makes all others."""
    pieces = [piece for name in parts for piece in _pieces(name)]
    used = {word for name, _, words in pieces if not name for word in words}
    while grown := {word for name, _, words in pieces if name in used for word in words} - used:
        used |= grown
    return "\n".join(code for name, code, _ in pieces if not name or name in used)


@cache
def _pieces(part: str) -> list[tuple[str, str, list[str]]]:
    """Each function of a part, and what is in front of it: name ('' for none), code and words."""
    lines = _text(part).splitlines()  # comments are not worth sending
    text = "\n".join(line for line in lines if line and not line.lstrip().startswith("--"))
    pieces, start = [], 0
    for function in _functions(text):
        pieces += [("", text[start : function.start()]), (function[1], function[0])]
        start = function.end()
    return [(name, _stripped(code), _words(code)) for name, code in [*pieces, ("", text[start:])]]


def _stripped(code: str) -> str:
    return "\n".join(line.strip() for line in code.strip().splitlines())
