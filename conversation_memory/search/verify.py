"""Checking what RediSearch found against the conversations as they are now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from ..collection.bulk import reap
from ..collection.listing import Listing
from ..exceptions import RedisDenied, RedisReadOnly
from ..layouts import Layout
from ..records import FIELDS, number
from ..redis_io.operations import Command, Operation
from ..redis_io.scripts import Script
from ..search_index.documents import suffix
from . import reading
from .filters import Filters
from .redisearch import Asking, timed
from .replies import Reply, Row
from .scope import Scope, Tags
from .seen import Seen

FOUND = Script("found")

# By the token of their documents; None if it must be searched anew.
Conversations = dict[bytes, Seen] | None


class Checking:
    """The conversations of search documents, with the search or behind it."""

    def __init__(self, layout: Layout, listing: Listing, tags: Tags):
        self._layout = layout
        self._listing = listing
        self._tags = tags

    def search(
        self, asking: Asking, filters: Filters, scope: Scope
    ) -> Operation[tuple[Reply, list[str], Conversations]]:
        """Search, and check what was found, in one step and one round trip.

        Returns the reply and why there may be more, and what check() does. Raises
        `RedisMisconfigured` or `RedisDenied` where the server searches for no script.
        """
        command = self._command(filters, scope, asking.parts, asking.call)
        found, late = yield from timed(command)
        reply = Reply.of(found[3], self._layout.keys.documents())
        checked = yield from self._checked(reply.rows, filters, found)
        return reply, [*late, *(yield from asking.reasons(reply))], checked

    def check(
        self, rows: Sequence[Row], filters: Filters, scope: Scope
    ) -> Operation[Conversations]:
        """The conversations of `rows`, by token, that are there and that the caller may see.

        None if it must be searched anew: the owner has another tag by now, or what was past its
        deadline has only now gone.
        """
        tokens = {row.token: None for row in rows}
        found = yield self._command(filters, scope, 0, tokens)
        return (yield from self._checked(rows, filters, found))

    def _command(
        self, filters: Filters, scope: Scope, parts: int, rest: Iterable[Any]
    ) -> Command[list[Any]]:
        keys = self._layout.keys
        names = [keys.index, keys.expiry(), keys.tokens(), keys.owners(), keys.root]
        return Command((FOUND.call(names, [filters.owner or b"", scope.tag, parts, *rest]),))

    def _checked(
        self, rows: Sequence[Row], filters: Filters, found: list[Any]
    ) -> Operation[Conversations]:
        now, overdue, is_his, _, tokens, *conversations = found
        if not is_his:
            self._tags.forget(filters.owner)
            return None
        if overdue and (yield from self._reaps()):
            return None
        unread = {row.token for row in rows if row.text is None}
        seen, stale = {}, []
        for token, fields in zip(tokens, conversations, strict=True):
            conversation = _seen(token, fields, now, filters)
            if conversation is not None:
                seen[token] = conversation
                conversation.is_current = _is_current(fields)
                if token in unread or not conversation.is_current:
                    stale.append(conversation)
        if stale:
            yield from self._read(stale)
        return seen

    def _reaps(self) -> Operation[bool]:
        """Whether something was past its deadline and has gone. Whoever may write will do it."""
        with suppress(RedisReadOnly, RedisDenied):
            return bool((yield from reap(self._layout, self._listing, batches=1)))
        return False

    def _read(self, stale: list[Seen]) -> Operation[None]:
        """Those that another program has written since, or that have a very long run."""
        records = [seen.record for seen in stale]
        documents = yield from reading.documents(self._layout, records)
        for seen, document in zip(stale, documents, strict=True):
            texts = document.texts if document else []
            seen.texts = {suffix(text): text for text in texts}


def _seen(token: bytes, fields: list[Any] | None, now: int, filters: Filters) -> Seen | None:
    if not fields or fields[9] != token:
        return None
    id, expires, size = fields[10], fields[7], fields[11]
    if not size or (number(expires) or now + 1) <= now:
        return None
    seen = Seen(id, fields[: len(FIELDS)])
    may_see = filters.owner in (None, seen.owner) and filters.conversation in (None, id)
    return seen if may_see else None


def _is_current(fields: list[Any]) -> bool:
    """Whether the documents are those of the conversation as it is now."""
    version, indexed, size = fields[5], fields[8], fields[11]
    return bool(indexed) and indexed.endswith(b"-%b-%d" % (version or b"0", size))
