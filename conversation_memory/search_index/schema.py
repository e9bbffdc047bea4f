"""The definition of the index in RediSearch, and the values of FIELDS in documents."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

from ..conf import IndexSettings
from ..encryption.sealing import TAG
from ..exceptions import Damaged
from ..keys import Keys
from ..redis_io.scripts import Call
from .passages import CALLS, SIDES
from .tokens import Words, tag

SEPARATOR = "\x1f"  # no tag contains it
_PADDED = 32  # bytes; the lengths of sealed tags are multiples of it, as a length may tell a tag
_VERSION = 2  # of the content of documents; a new one makes reindexing write them all
_EXACT = ("TAG", "SEPARATOR", SEPARATOR, "CASESENSITIVE")
_KINDS: dict[str, tuple[str, ...]] = {
    "tag": _EXACT,
    "digest": _EXACT,
    "numeric": ("NUMERIC",),
    "text": ("TEXT", "NOSTEM"),
}


@dataclass(frozen=True, slots=True)
class Schema:
    """The definition of an index in RediSearch. Another definition has another name.

    `fields` is name -> kind of FIELDS in settings; `sealed` are the tags among them of which
    documents hold only digests. `parts` are the passages whose words are in documents.
    """

    keys: Keys
    fields: Mapping[str, str]
    words: Words
    embed: str | None
    dimensions: int | None
    tool_calls: bool
    digest: str
    parts: frozenset[str]
    sealed: frozenset[str]

    @classmethod
    def of(cls, settings: IndexSettings, keys: Keys) -> Schema | None:
        """The definition in settings, None without SEARCH.

        Raises `ImproperlyConfigured` for a LANGUAGE that cannot be used.
        """
        search = settings.search
        if search is None:
            return None
        parts, tags = SIDES, {name for name, kind in search.fields if kind == "tag"}
        made = f"{_VERSION} {search}{' with tool calls' if search.tool_calls else ''}"
        if keys.sealing is None:
            tags.clear()
        else:
            chosen = search.stored_unencrypted or ()
            parts, tags = SIDES.intersection(chosen), tags.difference(chosen)
            made += f" in the clear: {chosen}"
        parts = parts | CALLS if search.tool_calls else parts
        digest = sha1(made.encode(), usedforsecurity=False).hexdigest()[:16]
        words = Words(search.language)
        known = keys, dict(search.fields), words, search.embed, search.dimensions
        return cls(*known, search.tool_calls, digest, parts, frozenset(tags))

    @property
    def name(self) -> bytes:
        """The name of the index in RediSearch.

        Before the digest, it says which words documents have: an index of others cannot answer.
        """
        calls = "-calls" if self.tool_calls else ""
        words = calls if self.keys.sealing is None else f"-{self.words_field or 'none'}"
        return self.keys.definition(f"{self.words.language or 'plain'}{words}-{self.digest}")

    @property
    def words_field(self) -> str:
        """The field of documents that has the words; '' if they have none.

        In an encrypted index, its name has the parts of a run that may be stored unencrypted. So an
        index for fewer of them never sees the words of the others: RediSearch keeps for long what
        it has indexed once.
        """
        if self.keys.sealing is None:
            return "w"
        return "_".join(["w", *sorted(self.parts)]) if self.parts else ""

    @property
    def columns(self) -> dict[str, str]:
        """Name -> kind of FIELDS as documents have them: "digest" for a tag that is sealed."""
        return {**self.fields, **dict.fromkeys(self.sealed, "digest")}

    def field(self, name: str) -> tuple[str, str]:
        """The field of documents for a name of FIELDS, and its kind."""
        kind = self.fields[name]
        # RediSearch skips a whole document if a value does not fit its column. While there are two
        # definitions, the kind in the name keeps each index from the values of the other.
        return f"{'digest' if name in self.sealed else kind}_{name}", kind

    def create(self) -> Call:
        """The command that creates the index. RediSearch then indexes in the background."""
        columns: list[Any] = ["c", *_EXACT, "o", *_EXACT]
        if self.words_field:
            columns = [self.words_field, *_KINDS["text"], *columns]
        columns += ["t", "NUMERIC", "SORTABLE"]
        for name, kind in self.columns.items():
            columns += [f"{kind}_{name}", *_KINDS[kind]]
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
        for field, value in self.plain_values(data).items():
            kind, _, name = field.partition("_")
            values += self._sealed(name, value) if kind == "digest" else (field.encode(), value)
        return values

    def plain_values(self, data: Any) -> dict[str, bytes]:
        """Field -> value of FIELDS, from metadata or meta; tags as they are, and no digests."""
        values: dict[str, bytes] = {}
        for name in self.fields if isinstance(data, Mapping) else ():
            field, kind = self.field(name)
            value = self._value(kind, data.get(name))
            if value is not None:
                values[field] = value
        return values

    def sought(self, name: str, tag: str) -> list[str]:
        """A tag as documents may hold it: as it is, or its digest with each key."""
        if name not in self.sealed:
            return [tag]
        assert self.keys.sealing is not None
        return self.keys.sealing.digests(TAG, name.encode(), tag.encode())

    def opened(self, name: str, digest: str, sealed: bytes) -> str | None:
        """The tag that a digest stands for, from the sealed tags of a document; None if unknown."""
        assert self.keys.sealing is not None
        try:
            tags = self.keys.sealing.open(TAG, name.encode(), sealed).decode().split(SEPARATOR)
        except (Damaged, UnicodeDecodeError):
            return None
        return next((tag for tag in tags if digest in self.sought(name, tag)), None)

    def _sealed(self, name: str, value: bytes) -> list[bytes]:
        # Beside the digests, the tags themselves: sealed alike, so that equal facets stay equal.
        sealing, id, between = self.keys.sealing, name.encode(), SEPARATOR.encode()
        assert sealing is not None
        digests = [sealing.digest(TAG, id, tag).encode() for tag in value.split(between)]
        padded = value + between * (-len(value) % _PADDED)
        sealed = sealing.seal_alike(TAG, id, padded)
        return [b"digest_" + id, between.join(digests), b"sealed_" + id, sealed]

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
