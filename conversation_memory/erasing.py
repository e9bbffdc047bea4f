"""The methods of an index that take an owner's conversations away."""

from __future__ import annotations

import logging
from dataclasses import astuple
from typing import Any

from .collection import bulk
from .collection import erase as erasure
from .collection.listing import Listing
from .keys import Id, decode, encode
from .layouts import Layout
from .redis_io.operations import Operation, Performing
from .signals import conversations_anonymised, conversations_erased

logger = logging.getLogger("conversation_memory")

_ERASED = "Erased %d conversations (%d runs, %d bytes) of owner %r from index %r (alias %r)."
_ANONYMISED = "Gave %d conversations of owner %r to nobody in index %r (alias %r)."


class ErasingIndex(Performing):
    """An index whose owners can be erased or anonymised."""

    alias: str
    name: str
    _layout: Layout
    _listing: Listing

    def erase(self, *, owner: Id, dry_run: bool = False) -> erasure.Erasure:
        """Delete all conversations of an owner, 500 at a time, including expired ones.

        Returns the counts; with `dry_run`, deletes nothing. Sends the signal
        `conversations_erased`. What the owner writes after the end stays.
        """
        erased = self._run(self._erasing(owner, dry_run), "erase")
        if not dry_run:  # send_robust(): a failing receiver must not hide that the data is erased
            event = self._logged_event(_ERASED, *astuple(erased), owner=owner)
            conversations_erased.send_robust(**event, erasure=erased)
        return erased

    async def aerase(self, *, owner: Id, dry_run: bool = False) -> erasure.Erasure:
        """See erase()."""
        erased = await self._arun(self._erasing(owner, dry_run), "erase")
        if not dry_run:
            event = self._logged_event(_ERASED, *astuple(erased), owner=owner)
            await conversations_erased.asend_robust(**event, erasure=erased)
        return erased

    def anonymise(self, *, owner: Id) -> int:
        """Give every conversation of an owner to nobody. Returns how many there were.

        Texts, metadata and titles stay as they are. Sends `conversations_anonymised`.
        """
        count = self._run(self._anonymising(owner), "anonymise")
        event = self._logged_event(_ANONYMISED, count, owner=owner)
        conversations_anonymised.send_robust(**event, conversations=count)
        return count

    async def aanonymise(self, *, owner: Id) -> int:
        """See anonymise()."""
        count = await self._arun(self._anonymising(owner), "anonymise")
        event = self._logged_event(_ANONYMISED, count, owner=owner)
        await conversations_anonymised.asend_robust(**event, conversations=count)
        return count

    def _erasing(self, owner: Id, dry_run: bool) -> Operation[erasure.Erasure]:
        return (erasure.foresee if dry_run else erasure.erase)(self._layout, _someone(owner))

    def _anonymising(self, owner: Id) -> Operation[int]:
        return bulk.anonymise(self._layout, self._listing, _someone(owner))

    def _logged_event(self, message: str, *counts: int, owner: Id) -> dict[str, Any]:
        name = decode(encode(owner))
        logger.info(message, *counts, name, self.name, self.alias)
        return {"sender": type(self), "index": self, "owner": name}


def _someone(owner: Id) -> bytes:
    if owner in (None, "", b""):
        raise ValueError("`owner` is required.")
    return encode(owner)
