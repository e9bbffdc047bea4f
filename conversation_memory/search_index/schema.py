"""The definition of the index in RediSearch, and the values of FIELDS in documents."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

from ..conf import IndexSettings
from ..keys import Keys
from ..redis_io.scripts import Call
from .tokens import Words, tag

SEPARATOR = "\x1f"  # no tag contains it
_VERSION = 2  # of the content of documents; a new one makes reindexing write them all
_EXACT = ("TAG", "SEPARATOR", SEPARATOR, "CASESENSITIVE")
_KINDS: dict[str, tuple[str, ...]] = {
    "tag": _EXACT,
    "numeric": ("NUMERIC",),
    "text": ("TEXT", "NOSTEM"),
}


@dataclass(frozen=True, slots=True)
class Schema:
    """The definition of an index in RediSearch. Another definition has another name.

    `fields` is name -> kind of FIELDS in settings.
    """

    keys: Keys
    fields: Mapping[str, str]
    words: Words
    embed: str | None
    dimensions: int | None
    tool_calls: bool
    digest: str

    @classmethod
    def of(cls, settings: IndexSettings, keys: Keys) -> Schema | None:
        """The definition in settings, None without SEARCH.

        Raises `ImproperlyConfigured` for a LANGUAGE that cannot be used.
        """
        search = settings.search
        if search is None:
            return None
        made = f"{_VERSION} {search}{' with tool calls' if search.tool_calls else ''}"
        digest = sha1(made.encode(), usedforsecurity=False).hexdigest()[:16]
        words = Words(search.language)
        vectors = search.embed, search.dimensions
        return cls(keys, dict(search.fields), words, *vectors, search.tool_calls, digest)

    @property
    def name(self) -> bytes:
        """The name of the index in RediSearch.

        Before the digest, it says which words documents have: an index of others cannot answer.
        """
        calls = "-calls" if self.tool_calls else ""
        return self.keys.definition(f"{self.words.language or 'plain'}{calls}-{self.digest}")

    def field(self, name: str) -> tuple[str, str]:
        """The field of documents for a name of FIELDS, and its kind."""
        kind = self.fields[name]
        # RediSearch skips a whole document if a value does not fit its column. While there are two
        # definitions, the kind in the name keeps each index from the values of the other.
        return f"{kind}_{name}", kind

    def create(self) -> Call:
        """The command that creates the index. RediSearch then indexes in the background."""
        columns: list[Any] = ["w", *_KINDS["text"], "c", *_EXACT, "o", *_EXACT]
        columns += ["t", "NUMERIC", "SORTABLE"]
        for name in self.fields:
            field, kind = self.field(name)
            columns += [field, *_KINDS[kind]]
        if self.embed:
            columns += ["v", "VECTOR", "HNSW", 6, "TYPE", "FLOAT32", "DIM", self.dimensions]
            columns += ["DISTANCE_METRIC", "COSINE"]
        prefix = ("ON", "HASH", "PREFIX", 1, self.keys.documents())
        # We highlight ourselves. By default, RediSearch ignores "the", "is" and other stop words.
        options = ("NOHL", "STOPWORDS", 0)
        return ("FT.CREATE", self.name, *prefix, *options, "SCHEMA", *columns)

    def values(self, data: Any) -> list[bytes]:
        """Field, value, field, value, … of FIELDS as documents hold them, from metadata or meta."""
        values: list[bytes] = []
        for name in self.fields if isinstance(data, Mapping) else ():
            field, kind = self.field(name)
            value = self._value(kind, data.get(name))
            if value is not None:
                values += [field.encode(), value]
        return values

    def _value(self, kind: str, value: Any) -> bytes | None:
        if kind == "tag":
            values = value if isinstance(value, list | tuple) else [value]
            tags = [tag(item) for item in values if isinstance(item, str | int | float)]
            return SEPARATOR.join(filter(None, tags)).encode() or None
        if kind == "numeric":
            number = finite(value)
            return None if number is None else repr(number).encode()
        return self.words.stream(value).encode() if isinstance(value, str) else None


def finite(value: Any) -> float | None:
    """A finite int or float; None for other values, which RediSearch does not index as numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
