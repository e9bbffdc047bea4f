"""A reference to a conversation as one caller sees it, and values that the layouts exchange."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import md5, sha1
from typing import Any, ClassVar
from uuid import uuid4

from ..clock import milliseconds, now
from ..documents import Document, build, joined, read, read_field
from ..encryption.sealing import DOCUMENT, RUN, Sealing
from ..exceptions import Damaged, counted
from ..keys import Keys, encode
from ..records import FIELDS, SEALED, Record, number
from ..redis_io.operations import Operation
from ..runs import Run, decoded_runs
from ..search_index.run_documents import fresh_token
from ..segments import opened_document
from ..wire import fingerprint, tail_of

# Another program may write as many bytes as were there. Only a digest tells, at 3 us of server
# time a kB.
_DIGESTED = 32 * 1024

# Of how many runs the ids are kept, so that an append that is repeated finds them.
KNOWN_IDS = 256

# What a script looks at in one call, in about a millisecond.
_STEP = 2000
_STEP_BYTES = 1024 * 1024

_plain_id = re.compile(rb'(?:\["|\{"type": "Run", "id": ")([^"\\]*)",').match

# By how much the clocks of a client and of Redis may differ.
_SKEW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Settlement:
    """The last keys and arguments of a script that settles an open run; see replies.lua."""

    keys: tuple[bytes, ...]
    args: tuple[Any, ...]


@dataclass(slots=True, unsafe_hash=True)  # nobody changes it; frozen, it would be slow to make
class ConversationRef:
    """A conversation as one caller may see it.

    `owner` is the owner as far as known, None for nobody. A `scoped` caller sees the conversations
    of that owner only; any other caller learns the true owner from the server. `lifetime` is the
    wanted one in milliseconds, 0 for ever, None for no change. With `settles`, a write settles the
    open run whose output it is.
    """

    id: bytes
    owner: bytes | None = None
    scoped: bool = False
    lifetime: int | None = None
    # redis-py sends a write again after a lost connection: the token of each tells repetitions.
    call: bytes = field(default_factory=fresh_token, compare=False)
    settles: Settlement | None = None

    def at(self, id: bytes) -> ConversationRef:
        """The same caller's view of another conversation."""
        return replace(self, id=id)

    def for_a_call(self) -> ConversationRef:
        """The same for another write."""
        return ConversationRef(self.id, self.owner, self.scoped, self.lifetime)

    def owned_by(self, owner: bytes | None) -> ConversationRef:
        return replace(self, owner=owner)

    def sees(self, record: Record) -> bool:
        return not self.scoped or owner_of(record) == self.owner


def owner_of(record: Record) -> bytes | None:
    return None if record.owner is None else encode(record.owner)


def milliseconds_of(time: datetime | None) -> int | str:
    """A time as the scripts take it, '' for none."""
    return "" if time is None else milliseconds(time)


def identified(runs: Sequence[Run]) -> list[Run]:
    """`runs` without repetitions, which their ids tell: one without an id gets a fresh one."""
    known: dict[str, Run] = {}
    for run in runs:
        id = run.id
        known[id or uuid4().hex] = run
    return [run if run.id else run.with_id(id) for id, run in known.items()]


def merged(
    known: Mapping[str, Any], changes: Mapping[str, Any], remove: Sequence[str]
) -> dict[str, Any]:
    """`known` without the keys to `remove`, and with the changes."""
    return {**{key: value for key, value in known.items() if key not in remove}, **changes}


def digest(run_id: str) -> bytes:
    """8 bytes that tell a run in the list of the last ones; see conversation.lua."""
    text = run_id.encode("utf-8", "surrogatepass")
    return md5(text, usedforsecurity=False).digest()[:8]


def id_of(text: bytes) -> str:
    """The id of the run of a stored text."""
    plain = _plain_id(text)
    return plain[1].decode("utf-8", "surrogatepass") if plain else Run.from_text(text).id


def is_past(expires: datetime | None) -> Operation[bool]:
    # The clock of the server counts; it is asked only if the deadline is near.
    if expires is None or expires > datetime.now(UTC) + _SKEW:
        return False
    time: int = yield now()
    return milliseconds(expires) <= time


@dataclass(slots=True)  # see ConversationRef
class Slice:
    """Some runs of a conversation as JSON texts, the first at position `start`.

    `length` is the number of all runs. `stored` are the texts as they are in Redis, which differ if
    they are encrypted; `more` are the replies to calls that were made at the same moment; `values`
    are those of the texts, as loads_together() reads them, if they were read. `size` are the bytes
    of the whole list, as far as known.
    """

    record: Record
    texts: Sequence[bytes]
    start: int
    length: int
    stored: Sequence[bytes] = ()
    more: Sequence[Any] = ()
    values: Sequence[Any] | None = None
    size: int = 0

    @property
    def step(self) -> int:
        """Of how many runs the server may take the next ones at once."""
        return max(1, min(_STEP, _STEP_BYTES * self.length // max(1, self.size)))

    def last(
        self, is_wanted: Callable[[bytes, int], bool]
    ) -> tuple[Record, int, bytes, bytes] | None:
        """Of the last run that is wanted: record, position, text as stored and decrypted."""
        for index, text in reversed([*enumerate(self.texts, self.start)]):
            if is_wanted(text, index):
                return self.record, index, self.stored[index - self.start], text
        return None


@dataclass(frozen=True, slots=True)
class Encoded:
    """A document as a layout stores it: field, list (if it has one), fields of the record.

    Of an encrypted one, `plain` are the last texts before the encryption. `known` tells the runs in
    front of those that are appended.
    """

    field: bytes
    texts: list[bytes]
    record: dict[str, Any]
    plain: list[bytes] | None = None
    known: bytes = b""

    def sealed(self, sealing: Sealing | None, id: bytes) -> Encoded:
        """The same, encrypted for a conversation."""
        if sealing is None:
            return self
        field = sealing.seal(DOCUMENT, id, self.field)
        texts = sealing.seal_all(RUN, id, self.texts) if self.texts else []
        plain = self.texts if self.plain is None else self.plain
        return Encoded(field, texts, sealed_fields(self.record, field, texts), plain)

    @property
    def size(self) -> int:
        return len(self.field) + sum(map(len, self.texts))

    @property
    def fingerprint(self) -> str:
        return f"{len(self.field)}-{self.record['crc']}"

    @property
    def told(self) -> list[bytes]:
        """What tells the last runs; see conversation.lua."""
        texts = self.texts if self.plain is None else self.plain
        ids = map(id_of, texts[-KNOWN_IDS:])
        return [told for told in (self.known, *(digest(id) for id in ids if id)) if told]

    def args(self, runs: str = "") -> list[Any]:
        """The last arguments of write.lua; `runs` says where those are that are not among them."""
        pairs = [part for pair in self.record.items() for part in pair]
        if runs:
            return [len(pairs), runs, *pairs, *self.told]
        return [len(pairs), len(self.texts), *pairs, *self.texts, *self.told]


def sealed_fields(fields: dict[str, Any], field: bytes, texts: Sequence[bytes]) -> dict[str, Any]:
    """`fields` of the record that follow from a document, for what is stored of it encrypted."""
    sizes = {"bytes": sum(map(len, texts))} if "bytes" in fields else {}
    form = {"length": len(field), "crc": tail_of(field)}
    return {**fields, "layout": fields["layout"] + SEALED, **form, **sizes}


@dataclass(frozen=True, slots=True)
class Indexed:
    """The search documents that a conversation has."""

    indexed: bytes  # a field of its record, as is `facets`
    facets: bytes
    suffixes: list[bytes]  # of the documents that exist
    size: int  # of the field in bytes
    length: int  # of field or list, whichever is longer
    is_current: bool  # they are the documents of all runs, as far as Redis can tell
    has_tag: bool = True  # that of the owner
    cursor: bytes = b"0"  # to the others, if these are some of many


@dataclass(slots=True)  # see ConversationRef
class Snapshot:
    """The stored state of a conversation: field, record, and the list if it was asked for."""

    FIELDS: ClassVar[tuple[str, ...]] = (*FIELDS, "bytes")

    field: bytes | None
    record: Record
    texts: Sequence[bytes] = ()
    is_digested: bool = False
    size: int | None = None  # how many bytes the record counts in the list
    sealing: Sealing | None = None  # what opens field and list
    is_known: bool = False  # decrypted: the record is known to be that of the field

    @classmethod
    def from_replies(
        cls,
        keys: Keys,
        id: bytes,
        fields: Sequence[bytes | None],
        field: bytes | None,
        texts: Sequence[bytes] = (),
    ) -> Snapshot:
        """From the values of FIELDS, the field, and the list if it was asked for."""
        *known, size = fields
        record = Record.from_reply(id, known, keys.sealing)
        return cls(field, record, texts, size=number(size), sealing=keys.sealing)

    @property
    def revision(self) -> str:
        if self.field is None:  # of a conversation that was deleted by others a record may be left
            return "0-absent"
        return f"{self.record.version}-{fingerprint(self.field)}"

    @property
    def expectation(self) -> tuple[Any, Any, Any]:
        """Version, length and digest of the field, as the scripts take them."""
        if self.field is None:
            return self.record.version, -1, ""
        # That of a long one is left out until a script has asked for it.
        with_digest = self.is_digested or len(self.field) <= _DIGESTED
        digest = sha1(self.field, usedforsecurity=False).hexdigest() if with_digest else ""
        return self.record.version, len(self.field), digest

    def digested(self) -> Snapshot:
        """This snapshot for a script that has asked for the digest of the field."""
        return replace(self, is_digested=True)

    @property
    def is_list(self) -> bool:
        """True if the runs are in a list. A list counts even if the record was lost."""
        record, documents = self.record, ("hash", "hash" + SEALED)
        return record.is_list or (bool(self.texts) and record.layout not in documents)

    @property
    def document(self) -> Document:
        """The stored document; an empty one if nothing is stored. Raises `Damaged`."""
        if self.field is None:
            return build((), {})
        if self.sealing is not None:
            return self.opened.document
        if not self.is_list:
            return read(self.field, self.record, is_known=self.is_known)
        if self.lost:
            raise Damaged(f"{counted(self.lost, 'run')} of its list are missing")
        # As many runs and bytes as the record counts were written by us, and are readable.
        if (self.record.runs, self.size) != (len(self.texts), sum(map(len, self.texts))):
            decoded_runs(self.texts)  # raises for one that is not
        return joined(self.texts, read_field(self.field))

    @property
    def lost(self) -> int:
        """How many runs the list lacks, as after an eviction."""
        # If another program wrote the field, the record may count its runs as well.
        if not self.record.is_list or self.record.length != len(self.field or b""):
            return 0
        return max(0, (self.record.runs or 0) - len(self.texts))

    @property
    def opened(self) -> Snapshot:
        """This snapshot with its values decrypted. Raises `Undecryptable`."""
        sealing, field, record = self.sealing, self.field, self.record
        if sealing is None or field is None:
            return self
        id = encode(record.conversation_id)
        is_ours = record.fingerprint == fingerprint(field)
        size = record.length if record.is_sealed else None
        plain = opened_document(sealing, id, field, size, record.end if is_ours else None)
        texts = sealing.open_all(RUN, id, self.texts)
        layout, length = record.layout.removesuffix(SEALED), len(plain) if is_ours else None
        is_counted = self.size == sum(map(len, self.texts))
        return replace(
            self,
            field=plain,
            record=replace(record, layout=layout, length=length, crc=""),
            texts=texts,
            size=sum(map(len, texts)) if is_counted else None,
            sealing=None,
            is_known=is_ours,
        )
