"""The vectors of a store that finds by meaning."""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from langchain_core.embeddings import Embeddings
from langgraph.store.base import (
    IndexConfig,
    PutOp,
    ensure_embeddings,
    get_text_at_path,
    tokenize_path,
)

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Embedding:
    """What turns texts into vectors, and which fields of an item have the texts."""

    embeddings: Embeddings
    dimensions: int
    fields: Sequence[str]

    @classmethod
    def of(cls, config: IndexConfig | None) -> Embedding | None:
        """Raises ValueError for a configuration that lacks something."""
        if config is None:
            return None
        if not config.get("embed") or not config.get("dims"):
            raise ValueError("`index_config` needs `embed`, which embeds texts, and `dims`.")
        found = ensure_embeddings(config["embed"])
        return cls(found, config["dims"], config.get("fields") or ["$"])

    def texts(self, op: PutOp) -> list[str]:
        """The texts of an item to embed."""
        if op.value is None or op.index is False:
            return []
        paths = self.fields if op.index is None else op.index
        found = [get_text_at_path(op.value, _path(path)) for path in paths]
        return [text for texts in found for text in texts]

    def embed(
        self, queries: Sequence[str], texts: Mapping[P, Sequence[str]]
    ) -> tuple[dict[str, list[float]], dict[P, list[bytes]]]:
        """The vector of each query, and those of each item."""
        asked = [self.embeddings.embed_query(query) for query in queries]
        flat = [text for some in texts.values() for text in some]
        found = self.embeddings.embed_documents(flat) if flat else []
        return self._packed(queries, asked, texts, found)

    async def aembed(
        self, queries: Sequence[str], texts: Mapping[P, Sequence[str]]
    ) -> tuple[dict[str, list[float]], dict[P, list[bytes]]]:
        """See embed()."""
        asked = await asyncio.gather(*map(self.embeddings.aembed_query, queries))
        flat = [text for some in texts.values() for text in some]
        found = await self.embeddings.aembed_documents(flat) if flat else []
        return self._packed(queries, asked, texts, found)

    def _packed(
        self,
        queries: Sequence[str],
        asked: Sequence[Sequence[float]],
        texts: Mapping[P, Sequence[str]],
        found: Sequence[Sequence[float]],
    ) -> tuple[dict[str, list[float]], dict[P, list[bytes]]]:
        if len(found) != sum(map(len, texts.values())):
            raise ValueError("`embed` must return one vector for each text.")
        vectors = (array("f", self._unit(vector)).tobytes() for vector in found)
        of_items = {place: [*islice(vectors, len(some))] for place, some in texts.items()}
        return dict(zip(queries, map(self._unit, asked), strict=True)), of_items

    def _unit(self, vector: Sequence[float]) -> list[float]:
        numbers = [float(number) for number in vector]
        length = math.hypot(*numbers)
        if len(numbers) != self.dimensions or not math.isfinite(length):
            raise ValueError(f"`embed` must return {self.dimensions} finite numbers (`dims`).")
        return [number / (length or 1) for number in numbers]


def _path(path: str) -> str | list[str]:
    return path if path == "$" else tokenize_path(path)
