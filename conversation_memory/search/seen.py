"""The conversation in which something was found."""

from __future__ import annotations

from collections.abc import Sequence

from ..records import Record


class Seen:
    """A conversation by its id, with its record, which is made when it is looked at.

    `fields` are the values of a record as Redis has them. `texts` are the runs by the suffix of
    their search documents, if they had to be read. Unless it `is_current`, some runs may have no
    documents.
    """

    __slots__ = ("_record", "fields", "id", "is_current", "texts")

    def __init__(
        self, id: bytes, fields: Sequence[bytes | None] = (), record: Record | None = None
    ):
        self.id = id
        self.fields = fields
        self.is_current = True
        self.texts: dict[bytes, bytes] | None = None
        self._record = record

    @property
    def owner(self) -> bytes | None:
        return self.fields[0] or None

    @property
    def record(self) -> Record:
        if self._record is None:
            self._record = Record.from_reply(self.id, self.fields)
        return self._record
