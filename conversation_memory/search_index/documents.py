"""Search documents: of each run what RediSearch indexes, and how a write changes them.

A document is a hash with these fields: `w` the words, `c` the token of the conversation, `o` that
of the owner, `t` when the run came (ms), `run` its JSON text unless that is very long, and a field
for each of FIELDS. Tokens are random and mean nothing
without the hashes that the scripts keep beside them, so that nothing personal is in a tag.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Container, Iterable, Sequence
from hashlib import sha1
from random import Random
from typing import Any

from ..documents import Document
from ..runs import Artifact, Run
from .schema import Schema

# A run of more bytes, such as a picture, is not kept a second time.
LONGEST_RUN = 64 * 1024


# Asking the system each time would take longer than all the rest. It is our own, so that nobody who
# seeds the random module makes two processes find the same tokens.
_random = Random()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_random.seed)


def fresh_token() -> bytes:
    """16 hexadecimal digits that no conversation and no owner has."""
    return b"%016x" % _random.getrandbits(64)


def suffix(text: bytes) -> bytes:
    """What ends the key of the document of a run, from its JSON text. Scripts know it too."""
    return sha1(text, usedforsecurity=False).hexdigest()[:16].encode()


def text_of(artifact: Artifact) -> str:
    """What can be searched of an artifact: all text but that of pictures, sounds and files."""
    value = artifact.value
    if isinstance(value, str) and artifact.type == "TextArtifact":
        return value
    try:
        return _text(artifact)
    except RecursionError:
        return ""


def _text(artifact: Artifact) -> str:
    if artifact.mime_type:
        return ""
    if artifact.type == "ListArtifact":
        return "\n\n".join(filter(None, map(_text, artifact.items)))
    return artifact.text


class Documents:
    """Makes what a write says about search documents, as the one argument that its script takes.

    See documents.lua for the other end.
    """

    def __init__(self, schema: Schema):
        self.schema = schema
        self._digest = schema.digest.encode()

    def added(self, runs: Iterable[tuple[Run, bytes]]) -> bytes:
        """Of runs that are put behind the others, each with its JSON text."""
        return self._pack([self._document(run, text) for run, text in runs])

    def appended(self, runs: Iterable[tuple[Run, bytes]]) -> bytes:
        """See added(), for a script that has the texts already."""
        documents = [self._document(run, text) for run, text in runs]
        for document in documents:
            if document[-2] == b"run":
                document.pop()
        return self._pack(documents)

    def of(self, operation: str, old: bytes, new: bytes) -> bytes:
        """Of a run that is edited or removed, given as its JSON text and, if edited, the new one.

        Of 'truncate' the script knows best.
        """
        gone = [suffix(old)] if operation != "truncate" and old != new else []
        edited = operation == "edit"
        documents = [self._document(Run.from_wire(new), new, suffix(old))] if edited else []
        return self._pack(documents, gone)

    def between(self, old: Document, new: Document) -> bytes:
        """Of a document that takes the place of another."""
        if self.facets(new) != self.facets(old):
            return self.whole(new, ())
        before, after = old.texts, new.texts
        gone, come = {*before} - {*after}, {*after} - {*before}
        places = dict(zip(after, before, strict=False)) if len(after) == len(before) else {}
        documents = []
        for text in come:
            place = places.get(text)
            predecessor = suffix(place) if place in gone else b""
            documents.append(self._document(Run.from_wire(text), text, predecessor))
        return self._pack(documents, [suffix(text) for text in gone])

    def whole(self, document: Document, known: Container[bytes]) -> bytes:
        """Of all runs of a conversation, those with a `known` suffix without their documents."""
        texts = {suffix(text): text for text in document.texts}
        documents = [
            [key, b"", *self._fields(Run.from_wire(text), text)]
            for key, text in texts.items()
            if key not in known
        ]
        return self._pack(documents, (), [*texts], self.facets(document))

    def none(self) -> bytes:
        """Of a conversation that cannot be read: it has no runs that could have documents."""
        return self._pack([], (), [])

    def whole_after(
        self, document: Document, indexed: bytes, facets: bytes, suffixes: Sequence[bytes]
    ) -> bytes:
        """See whole(), of a conversation that has documents as of `indexed`, with these suffixes.

        They are known if they were made with the same schema and the same facets.
        """
        same = indexed.startswith(self._digest + b"-")
        same = same and facets == self.facets(document)
        return self.whole(document, frozenset(suffixes) if same else ())

    def facets(self, document: Document) -> bytes:
        """What the metadata gives to every document of the conversation, packed."""
        values = self.schema.values(document.metadata) if self.schema.fields else []
        return packed(values) if values else b""

    def _document(self, run: Run, text: bytes, predecessor: bytes = b"") -> list[bytes]:
        """Suffix, that of the run whose time counts, then field, value, field, value, …"""
        return [suffix(text), predecessor, *self._fields(run, text)]

    def _fields(self, run: Run, text: bytes) -> list[bytes]:
        words = self.schema.words.stream(text_of(run.input), text_of(run.output))
        fields = self.schema.values(run.meta) if self.schema.fields else []
        fields += [b"w", words.encode()]
        if len(text) <= LONGEST_RUN:
            fields += [b"run", text]
        return fields

    def _pack(
        self,
        documents: list[list[bytes]],
        gone: Sequence[bytes] = (),
        suffixes: list[bytes] | None = None,
        facets: bytes = b"",
    ) -> bytes:
        """Without `suffixes`, only the documents named change; else there are those afterwards."""
        head = [self._digest, fresh_token(), fresh_token(), 1 if self.schema.embed else 0]
        whole = [] if suffixes is None else [suffixes, facets]
        return packed([*head, documents, gone, *whole])


_head = struct.Struct(">BI").pack


def packed(value: Any) -> bytes:
    """MessagePack, which scripts can read: of lists, bytes and small numbers."""
    parts: list[bytes] = []
    _pack(value, parts)
    return b"".join(parts)


def _pack(value: Any, parts: list[bytes]) -> None:
    kind = type(value)
    if kind is bytes:
        parts += (_head(0xDB, len(value)), value)
    elif kind is int:
        parts.append(_head(0xCE, value))
    else:
        parts.append(_head(0xDD, len(value)))
        for item in value:
            if type(item) is bytes:
                parts += (_head(0xDB, len(item)), item)
            else:
                _pack(item, parts)
