"""A store of LangGraph, for what agents remember beyond a thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

from langgraph.store.base import (
    BaseStore,
    GetOp,
    IndexConfig,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
)

from ...drivers import new_ref
from ...encryption.sealing import refuse
from ...exceptions import sensitive
from ...indexes import ConversationIndex
from ...keys import Id
from ...packing import pack
from ...redis_io.operations import Operation, T, twins
from ...wire import dumps
from .filters import are_match, is_match
from .items import Items, NewItem, StoredItem, sliding
from .vectors import Embedding

_MINUTE = 60_000


class Prepared(NamedTuple):
    """The operations of a batch, with the vectors of queries and of texts to be put."""

    ops: Sequence[Op]
    queries: dict[str, list[float]]
    vectors: dict[tuple[tuple[str, ...], str], list[bytes]]


class ConversationBaseStore(BaseStore):
    """A store whose items are in an index, next to its conversations.

    `index` is what `indexes["alias"]` gives. With `owner`, the store has items of its own, which
    `index.erase(owner=…)` erases too. `index_config` with `embed` and `dims` lets `search()` find
    by meaning; `ttl` is the configuration of a store of LangGraph, in minutes. Values are JSON.

    A search with a filter or a query reads all items below its namespace. Errors of Redis are
    those of `conversation_memory.exceptions`.
    """

    supports_ttl = True

    def __init__(
        self,
        index: ConversationIndex,
        *,
        owner: Id | None = None,
        index_config: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
    ):
        if index_config is not None:
            sealing = index._layout.sealing
            refuse(sealing, index.alias, "vectors of a store of LangGraph (`index_config`)")
        self.index = index
        self.ttl_config = ttl
        name = new_ref(b"", owner, None).owner or b""
        self._items = Items(index.shard_of(name)._layout.keys, index.alias, name)
        self._embedding = Embedding.of(index_config)

    @sensitive
    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """The results of operations: reads see what was there before the batch."""
        ops = _checked(ops)
        queries, texts = self._to_embed(ops)
        found = self._embedding.embed(queries, texts) if self._embedding else ({}, {})
        return self._run(self._batch(Prepared(ops, *found)), "batch")

    @sensitive
    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """See batch()."""
        ops = _checked(ops)
        queries, texts = self._to_embed(ops)
        found = (await self._embedding.aembed(queries, texts)) if self._embedding else ({}, {})
        return await self._arun(self._batch(Prepared(ops, *found)), "batch")

    def _erase(self) -> Operation[int]:
        """Delete all items of this store, which are those of its owner. Returns how many."""
        return self._items.erase()

    erase, aerase = twins(_erase)

    def _to_embed(
        self, ops: Sequence[Op]
    ) -> tuple[list[str], dict[tuple[tuple[str, ...], str], list[str]]]:
        """The queries, and the texts of each item to be put."""
        if self._embedding is None:
            return [], {}
        queries = [op.query for op in ops if isinstance(op, SearchOp) and op.query]
        puts = {(op.namespace, op.key): op for op in ops if isinstance(op, PutOp)}
        texts = {place: self._embedding.texts(op) for place, op in puts.items()}
        return [*dict.fromkeys(queries)], {place: found for place, found in texts.items() if found}

    def _batch(self, prepared: Prepared) -> Operation[list[Result]]:
        ops = prepared.ops
        results: list[Result] = [None] * len(ops)
        gets = [(place, op) for place, op in enumerate(ops) if isinstance(op, GetOp)]
        wanted = [(op.namespace, op.key, op.refresh_ttl) for _, op in gets]
        found = yield from self._items.get(wanted)
        for (place, _), item in zip(gets, found, strict=True):
            results[place] = item and Item(**_facts(item))
        for place, op in enumerate(ops):
            if isinstance(op, SearchOp):
                results[place] = yield from self._search(op, prepared.queries)
            elif isinstance(op, ListNamespacesOp):
                results[place] = yield from self._list(op)
        puts = {(op.namespace, op.key): op for op in ops if isinstance(op, PutOp)}
        new = [self._new(op, prepared.vectors.get(at, [])) for at, op in puts.items()]
        yield from self._items.put(new)
        return results

    def _new(self, op: PutOp, vectors: Sequence[bytes]) -> NewItem:
        if op.value is None:
            return NewItem(op.namespace, op.key, b"")
        text = pack([dumps(dict(op.value), compact=True), *vectors])
        most = self.index.settings.max_run_bytes
        if len(text) > most:
            size = f"{len(text):,} bytes, {most:,} are allowed (MAX_RUN_BYTES)"
            raise ValueError(f"The item {op.key!r} would have {size}. Nothing was put.")
        return NewItem(op.namespace, op.key, text, round((op.ttl or 0) * _MINUTE))

    def _search(self, op: SearchOp, queries: dict[str, list[float]]) -> Operation[list[SearchItem]]:
        query = queries.get(op.query or "")
        if query or op.filter:
            items = yield from self._items.all(op.namespace_prefix)
        else:
            items = yield from self._items.newest(op.namespace_prefix, op.offset + op.limit)
        rows: Iterable[tuple[StoredItem, float | None]] = (
            (item, None) for item in items if are_match(item.value, op.filter or {})
        )
        if query:
            ranked = [(item, item.similarity(query)) for item, _ in rows]
            # Those that were put without an index come last.
            rows = sorted(ranked, key=lambda row: -2.0 if row[1] is None else row[1], reverse=True)
        page = [*islice(rows, op.offset, op.offset + op.limit)]
        if op.refresh_ttl:
            yield from self._items.slide(sliding(item for item, _ in page))
        return [SearchItem(**_facts(item), score=score) for item, score in page]

    def _list(self, op: ListNamespacesOp) -> Operation[list[tuple[str, ...]]]:
        names = yield from self._items.namespaces()
        conditions = op.match_conditions or ()
        found = {name for name in names if all(is_match(one, name) for one in conditions)}
        if op.max_depth is not None:
            found = {name[: op.max_depth] for name in found}
        return sorted(found)[op.offset : op.offset + op.limit]

    def _run(self, operation: Operation[T], name: str = "other") -> T:
        return self.index._run(operation, name)

    async def _arun(self, operation: Operation[T], name: str = "other") -> T:
        return await self.index._arun(operation, name)


def _checked(ops: Iterable[Op]) -> list[Op]:
    found = [*ops]
    for op in found:
        if not isinstance(op, GetOp | ListNamespacesOp | PutOp | SearchOp):
            raise ValueError(f"{type(op).__name__} is not an operation of a store.")
    return found


def _facts(item: StoredItem) -> dict[str, Any]:
    times = {"created_at": _time(item.created), "updated_at": _time(item.updated)}
    return {"namespace": item.namespace, "key": item.key, "value": item.value, **times}


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
