"""Verifying the hits of RediSearch against the present conversations."""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..collection.bulk import reap
from ..collection.listing import Listing
from ..exceptions import RedisDenied, RedisMisconfigured, RedisReadOnly
from ..layouts import Layout
from ..redis_io.operations import Command, Operation, single
from ..redis_io.scripts import Script
from ..search_index.reasons import Reason
from ..search_index.sweep import strays, sweep_tokens
from . import embeddings, redisearch
from .redisearch import FoundRecord, ScopedRequest, SearchReply
from .request import Request, SearchFilters
from .stored_texts import texts_of

FOUND = Script("found")

_MOST_TAGS = 10_000
# A script holds a second copy of its reply, and the server waits for it.
_MOST_IN_SCRIPTS = 200


_is_token = re.compile(rb"[0-9a-f]{16}").fullmatch


class Verifier:
    """Limits searches to an owner and a conversation, and verifies their hits."""

    def __init__(self, layout: Layout, listing: Listing):
        self._layout = layout
        self._keys = layout.keys
        self._listing = listing
        self._searches_in_scripts = True
        # A cached tag may be outdated: each search verifies it in the round trip of its hits.
        self._tags: dict[bytes, bytes] = {}

    def scoped(self, request: Request, index: bytes) -> Operation[ScopedRequest | None]:
        """None if that owner, or that conversation, has no search documents."""
        owner, id = request.filters.owner, request.filters.conversation
        known = None if owner is None else self._tags.get(owner)
        calls: list[Command[Any]] = []
        if owner is not None and known is None:
            calls.append(single("HGET", self._keys.owners(), owner))
        if id is not None:
            calls.append(single("HGET", self._keys.record(id), "token", otherwise=None))
        found = (yield calls) if calls else []
        if not all(part and _is_token(part) for part in found):  # garbage must not enter a query
            return None
        tag, conditions = b"", []
        if owner is not None:
            tag = known or found[0]
            if len(self._tags) >= _MOST_TAGS:
                self._tags.clear()
            self._tags[owner] = tag
            conditions.append(f"@o:{{{tag.decode()}}}")
        if id is not None:
            conditions.append(f"@c:{{{found[-1].decode()}}}")
        schema = self._layout.schema
        assert schema is not None  # RediSearch is not asked otherwise
        return ScopedRequest(request, self._keys, index, tuple(conditions), tag, schema)

    def loss(self, filters: SearchFilters) -> Operation[Reason | None]:
        """The reason why there may be hits although scoped() returned None."""
        owner, id, keys = filters.owner, filters.conversation, self._keys
        calls: list[Command[Any]] = []
        if owner is not None:
            calls.append(single("EXISTS", keys.recency(owner)))
        if id is not None:
            calls.append(single("HEXISTS", keys.content(id), id))
        return Reason("unindexed") if all((yield calls)) else None

    def search(self, scoped: ScopedRequest) -> Operation[SearchReply | None]:
        """The verified reply, see verify(); in one round trip where a script can search."""
        request = scoped.request
        is_refused, is_short = False, redisearch.rows_to_ask_for(request) <= _MOST_IN_SCRIPTS
        if self._searches_in_scripts and is_short and request.vector is None:
            try:
                return (yield from self._search_in_script(scoped))
            except (RedisMisconfigured, RedisDenied) as error:
                if redisearch.is_timeout(error):
                    raise
                # Some servers, such as a cluster, refuse a search in a script.
                is_refused = True
        find = redisearch.search if request.vector is None else embeddings.search
        reply = yield from find(scoped)
        self._searches_in_scripts = self._searches_in_scripts and not is_refused
        return (yield from self.verify(reply, scoped))

    def _search_in_script(self, scoped: ScopedRequest) -> Operation[SearchReply | None]:
        # Scripts speak RESP2, where a hit is a key, a score if asked for, and fields.
        parts = 3 if scoped.request.by_relevance else 2
        command = self._command(scoped, parts, redisearch.call(scoped))
        found, late = yield from redisearch.timed(command)
        reply = SearchReply.of(found[2], self._keys.documents())
        verified = yield from self._verified(reply, scoped.request.filters, found)
        if verified is None:
            return None
        return (yield from redisearch.explained(scoped, verified, late))

    def verify(self, reply: SearchReply, scoped: ScopedRequest) -> Operation[SearchReply | None]:
        """The reply, with the record and the run of each row that the caller may see.

        None if the search must be repeated: the owner has another tag by now, or conversations had
        expired and have been deleted only now.
        """
        tokens = dict.fromkeys(row.token for row in reply.rows)
        found = yield self._command(scoped, 0, tokens)
        return (yield from self._verified(reply, scoped.request.filters, found))

    def _command(
        self, scoped: ScopedRequest, parts: int, rest: Iterable[Any]
    ) -> Command[list[Any]]:
        keys, owner = self._keys, scoped.request.filters.owner or b""
        names = [keys.index, keys.expiry(), keys.tokens(), keys.owners(), keys.root]
        args = [owner, scoped.tag, parts, *rest]
        return Command((FOUND.call(names, args),))

    def _verified(
        self, reply: SearchReply, filters: SearchFilters, found: list[Any]
    ) -> Operation[SearchReply | None]:
        overdue, is_tag, _, tokens, *conversations = found
        if not is_tag:
            self._tags.pop(filters.owner or b"", None)
            return None
        if overdue:
            # Deadlines are scores of a sorted set, so Redis itself deletes nothing.
            with suppress(RedisReadOnly, RedisDenied):
                if (yield from reap(self._layout, self._listing, batches=1)):
                    return None
        dead = [token for token, row in zip(tokens, conversations, strict=True) if not row]
        if dead and (yield from self._swept(dead)):
            return None
        # Whoever writes to Redis could write any text into a document of an encrypted index.
        is_sealed = self._layout.sealing is not None
        unread = {row.token for row in reply.rows if is_sealed or row.text is None}
        records: dict[bytes, FoundRecord] = {}
        reasons = reply.reasons
        for token, row in zip(tokens, conversations, strict=True):
            if row and filters.conversation in (None, row[0]):
                id, is_current, *values = row
                records[token] = FoundRecord(id, values, self._layout.sealing)
                if not is_current:  # written since
                    reasons = [*reply.reasons, Reason("overwritten")]
                    unread.add(token)
        ids = {token: record.id for token, record in records.items() if token in unread}
        texts = yield from texts_of(self._layout, ids)
        if unreadable := len(ids.keys() - texts.keys()):
            reasons = [*reasons, Reason("unreadable", unreadable)]
        for row in reply.rows:
            row.record = records.get(row.token)
            if row.token in unread:
                row.text = texts.get(row.token, {}).get(row.suffix)
        return replace(reply, reasons=reasons)

    def _swept(self, tokens: list[bytes]) -> Operation[bool]:
        """Delete the documents of conversations that are deleted: they take the place of hits."""
        with suppress(RedisReadOnly, RedisDenied):
            pairs = yield from strays(self._keys, tokens)
            return (yield from sweep_tokens(self._keys, pairs)) > 0
        return False
