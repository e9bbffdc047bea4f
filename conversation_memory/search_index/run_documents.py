"""Search documents, which RediSearch indexes, and how a write changes them.

The document of a run is a hash with these fields: `w` the words, `c` the token of the conversation,
`o` the tag of the owner, `t` the time of the run (ms), `run` its JSON text (see shared_texts.py)
unless that is very long, and a field for each of FIELDS. Tokens and tags are random: only the
hashes `tokens` and `owners` tell what they mean, so that documents hold no ids. The document of an
encrypted run has no `run`, and of the rest what STORED_UNENCRYPTED allows.
"""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from random import Random
from types import MappingProxyType

from ..documents import Document
from ..encryption.sealing import RUN
from ..redis_io.message_pack import packed
from ..runs import Run, lenient
from .passages import passages
from .schema import Schema
from .shared_texts import MARK, shared

# A run of more bytes, such as an image, is not copied into its document.
LONGEST_RUN = 64 * 1024

# How many documents one command writes, removes, gives another tag and compares. RediSearch takes
# some 36 us for each one that is written.
MOST_WRITTEN, MOST_REMOVED, MOST_TAGGED, MOST_COMPARED = 100, 200, 80, 1000

# Faster than asking the system for each token. Not the shared generator of `random`: two processes
# that seed it alike would make the same tokens.
_random = Random()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_random.seed)


def fresh_token() -> bytes:
    """16 hexadecimal digits for a new token or tag."""
    return b"%016x" % _random.getrandbits(64)


def suffix(text: bytes) -> bytes:
    """The end of the key of a document, from the JSON text of its run. Scripts compute it too.

    See Documents.suffix(), which also knows those of an encrypted index.
    """
    return sha1(text, usedforsecurity=False).hexdigest()[:16].encode()


@dataclass(frozen=True, slots=True)
class Steps:
    """A change of too many documents for one command, and what a write of the runs takes for it.

    `before` has texts of runs as they were stored until then.
    """

    begun: bytes
    before: Mapping[bytes, bytes]

    @staticmethod
    def is_needed(written: int, removed: int = 0, compared: int = 0) -> bool:
        return written > MOST_WRITTEN or removed > MOST_REMOVED or compared > MOST_COMPARED


# What a script takes for the search documents.
Change = bytes | Steps


class Documents:
    """Packs the changes of search documents into one argument, which documents.lua unpacks."""

    def __init__(self, schema: Schema):
        self.schema = schema
        self.sealing = schema.keys.sealing
        self._digest = schema.digest.encode()

    def suffix(self, text: bytes) -> bytes:
        """The end of the key of the document of a run, from the JSON text of the run.

        In an encrypted index, only its keys give it: from a SHA-1, a short text could be guessed.
        """
        return (
            suffix(text) if self.sealing is None else self.sealing.digest(RUN, text)[:16].encode()
        )

    def suffixes(self, text: bytes) -> list[bytes]:
        """suffix(), and those that the document may still have: of older keys, or of none."""
        if self.sealing is None:
            return [suffix(text)]
        sealed = [digest[:16].encode() for digest in self.sealing.digests(RUN, text)]
        return [*sealed, suffix(text)] if self.sealing.read_plaintext else sealed

    def added(self, runs: Iterable[tuple[Run, bytes]], *, with_texts: bool = True) -> bytes:
        """For runs that are appended. A script may get their JSON texts in another argument."""
        documents = [self._document(run, text) for run, text in runs]
        for document in documents:
            if not with_texts and document[-2] == b"run" and MARK not in document[-1]:
                document.pop()
        return self._pack(documents)

    def of(self, operation: str, old: bytes, new: bytes, removed: Sequence[bytes] = ()) -> bytes:
        """For a run that is edited or removed: its JSON text and, if edited, the new one.

        The script itself finds the runs that a 'truncate' removes, unless they are encrypted.
        """
        others = [old] if operation != "truncate" else []
        others += removed if self.sealing is not None else []
        is_edit = operation == "edit"
        documents = [self._document(Run.from_text(new), new, old)] if is_edit else []
        # The same text has another suffix with another key.
        stays = self.suffix(new) if is_edit else b""
        return self._pack(documents, [it for it in self._all_suffixes(others) if it != stays])

    def between(self, old: Document, new: Document, stored: Sequence[bytes] = ()) -> Change:
        """For a document that replaces another, whose runs are `stored` if in another form."""
        if self.facets(new) != self.facets(old):
            return self.whole(new, ())
        before, after = stored or old.texts, new.texts
        removed, added = {*before} - {*after}, {*after} - {*before}
        replaced = dict(zip(old.texts, before, strict=True))
        if len(after) == len(before):
            replaced |= dict(zip(after, before, strict=True))
        if Steps.is_needed(len(added), len(removed)):
            return self.in_steps(new, replaced)
        documents = []
        for text in added:
            old_text = replaced.get(text)
            predecessor = old_text if old_text in removed else None
            documents.append(self._document(Run.from_text(text), text, predecessor))
        return self._pack(documents, self._all_suffixes(removed))

    def whole(
        self,
        document: Document,
        known: Collection[bytes],
        before: Mapping[bytes, bytes] = MappingProxyType({}),
        removed: int = 0,
    ) -> Change:
        """For all runs of a conversation; those with a `known` suffix have their documents.

        `before` has texts of runs as they were stored until now; some `removed` documents are there
        besides.
        """
        texts = self.by_suffix(document)
        missing = [text for key, text in texts.items() if key not in known]
        removed += len(known) - len(texts) + len(missing)
        if Steps.is_needed(len(missing), removed, len(texts)):
            return self.in_steps(document, before)
        return self._pack(self._made(missing, before), (), [*texts], self.facets(document))

    def by_suffix(self, document: Document) -> dict[bytes, bytes]:
        """The runs of a document by suffix()."""
        return {self.suffix(text): text for text in document.texts}

    def in_steps(
        self, document: Document, before: Mapping[bytes, bytes] = MappingProxyType({})
    ) -> Steps:
        return Steps(self.step(document), before)

    def none(self) -> bytes:
        """For a conversation that cannot be read, and so has no documents."""
        return self._pack([], (), [])

    def step(
        self,
        document: Document,
        texts: Sequence[bytes] = (),
        removed: Sequence[bytes] = (),
        seen: bytes | None = None,
        before: Mapping[bytes, bytes] = MappingProxyType({}),
    ) -> bytes:
        """For some of the runs of a `document` of many, and suffixes of some documents to remove.

        `seen` is `indexed` of the record, which must not have changed; None for a write of all
        runs, which the steps follow.
        """
        documents = self._made(texts, before)
        return self._pack(documents, removed, b"", self.facets(document), seen)

    def last_step(self, document: Document, count: int, seen: bytes) -> bytes:
        """For the end of the steps, after which there must be `count` documents."""
        return self._pack([], (), count, self.facets(document), seen)

    def whole_after(
        self,
        document: Document,
        indexed: bytes,
        facets: bytes,
        suffixes: Sequence[bytes],
        before: Mapping[bytes, bytes] = MappingProxyType({}),
    ) -> Change:
        """See whole(). `suffixes` are known if `indexed` has this schema, and facets are equal."""
        if self.are_alike(document, indexed, facets):
            return self.whole(document, frozenset(suffixes), before)
        return self.whole(document, (), before, max(0, len(suffixes) - document.count))

    def are_alike(self, document: Document, indexed: bytes, facets: bytes) -> bool:
        """True if the documents that exist are as those of this schema and these facets."""
        return indexed.startswith(self._digest + b"-") and facets == self.facets(document)

    def are_newest(self, document: Document, facets: bytes, suffixes: Sequence[bytes]) -> bool:
        """True if these are all documents, with digests of the newest key."""
        is_same = {*suffixes} == {self.suffix(text) for text in document.texts}
        return is_same and facets == self.facets(document)

    def match(self, texts: Sequence[bytes], suffixes: Sequence[bytes]) -> bool:
        """True if these are the documents of all runs, with digests of any key, and no others."""
        left = {*suffixes}
        found = [left.intersection(self.suffixes(text)) for text in dict.fromkeys(texts)]
        return all(len(one) == 1 for one in found) and left == set().union(*found)

    def facets(self, document: Document) -> bytes:
        """The fields that the metadata adds to every document of the conversation, packed."""
        values = self.schema.values(document.metadata) if self.schema.fields else []
        return packed(values) if values else b""

    def _all_suffixes(self, texts: Iterable[bytes]) -> list[bytes]:
        return [suffix for text in texts for suffix in self.suffixes(text)]

    def _made(self, texts: Sequence[bytes], before: Mapping[bytes, bytes]) -> list[list[bytes]]:
        pairs = zip(lenient(texts), texts, strict=True)
        return [self._document(run, text, before.get(text)) for run, text in pairs]

    def _document(self, run: Run, text: bytes, old: bytes | None = None) -> list[bytes]:
        """Suffix, suffixes of the documents whose time it keeps, then field, value, field, value, …

        `old` is the text of the run that it replaces.
        """
        first, *others = self.suffixes(text)
        since = others if old is None else self.suffixes(old)
        return [first, b"".join(since), *self._fields(run, text)]

    def _fields(self, run: Run, text: bytes) -> list[bytes]:
        schema, words = self.schema, self.schema.words
        fields = schema.values(run.meta) if schema.fields else []
        found = passages(run, with_calls=schema.tool_calls)
        if self.sealing is not None:
            texts = [it.text for it in found if it.part in schema.parts]
            if schema.words_field:
                fields += [schema.words_field.encode(), words.stream(*texts).encode()]
            return fields
        texts = [it.text for it in found]
        # Texts of tool calls are not as in the JSON of the run: they stand in JSON of their own.
        is_plain = not words.language and len(texts) == 2
        once = shared(text, texts) if is_plain else None
        shown, copy = once or (words.stream(*texts).encode(), text)
        fields += [b"w", shown]
        if len(copy) <= LONGEST_RUN:
            fields += [b"run", copy]
        return fields

    def _pack(
        self,
        documents: list[list[bytes]],
        removed: Sequence[bytes] = (),
        suffixes: list[bytes] | bytes | int | None = None,
        facets: bytes = b"",
        seen: bytes | None = None,
    ) -> bytes:
        # With `suffixes`, these are all documents afterwards; else only those named change.
        head = [self._digest, fresh_token(), fresh_token(), 1 if self.schema.embed else 0]
        whole = [] if suffixes is None else [suffixes, facets]
        return packed([*head, documents, removed, *whole, *([] if seen is None else [seen])])
