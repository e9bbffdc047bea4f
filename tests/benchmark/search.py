"""Searching 100,000 runs, beside the bare FT.SEARCH of the same query.

The floor returns the texts of the runs. It tells neither which conversations they are from now nor
whether these still exist. The floor with titles reads the owner and the title of each conversation
in a second round trip, as a page with results needs them.

The texts are made up of words as frequent as in English; or real ones, from the file of dialogues
that DIALOGUES names (see example_project/chat/dialogues.py), several turns to a run.
"""

from __future__ import annotations

import gzip
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from time import perf_counter
from typing import Any

import redis

from conversation_memory import Run, indexes
from conversation_memory.conf import IndexSettings, SearchSettings
from conversation_memory.indexes import ConversationIndex

from .measure import interleaved, processor_times, table

RUNS = int(os.environ.get("RUNS", 100_000))
LENGTH = 700  # characters of a run
PER_CONVERSATION = 10
COLUMNS = ("operation", "hits", "floor", "ours", "ratio", "target", "CPU: floor", "ours", "ratio")


def main() -> None:
    url = indexes["default"].settings.url
    search = SearchSettings()
    settings = IndexSettings(
        alias="search", index="searched", url=url, layout="list", search=search
    )
    index, bare = ConversationIndex(settings), redis.Redis.from_url(url)
    try:
        words = populate(index)
        reads(index, bare, words)
    finally:
        name = index._layout.schema.name
        bare.execute_command("FT.DROPINDEX", name)
        for _ in range(100):
            keys = [*islice(bare.scan_iter("{searched}:*", count=10_000), 10_000)]
            if not keys:
                break
            bare.unlink(*keys)
        bare.delete("searched")
        bare.close()


def populate(index: ConversationIndex) -> Counter[str]:
    start, words, number = perf_counter(), Counter[str](), 0
    texts = islice(real() if "DIALOGUES" in os.environ else made_up(), RUNS)
    while batch := [*islice(texts, PER_CONVERSATION)]:
        for text in batch:
            words.update({*index._layout.schema.words.of(text)})
        runs = [Run(text[: LENGTH // 3], text[LENGTH // 3 :]) for text in batch]
        index.driver(f"{number}", owner=number % 100).append(*runs)
        number += 1
    seconds = perf_counter() - start
    print(f"\n{RUNS:,} runs written with SEARCH in {seconds:.0f} s.")
    return words


def made_up() -> Iterator[str]:
    chance = random.Random(1)
    vocabulary = [f"w{number:x}" for number in range(50_000)]
    weights = [1 / (rank + 3) for rank in range(len(vocabulary))]
    while True:
        yield " ".join(chance.choices(vocabulary, weights, k=LENGTH // 5))[:LENGTH]


def real() -> Iterator[str]:
    """Turns of a dialogue behind each other, from each turn on, as long as a run."""
    while True:
        with gzip.open(os.environ["DIALOGUES"]) as file:
            for line in file:
                turns = [" ".join(turn.values()) for turn in json.loads(line)["turns"]]
                for start in range(len(turns)):
                    yield " ".join(turns[start:] + turns[:start])[:LENGTH]


def reads(index: ConversationIndex, bare: redis.Redis, words: Counter[str]) -> None:
    by_count = words.most_common()
    common = [word for word, count in by_count if count < RUNS * 0.8][0]
    middle = [word for word, count in by_count if count < RUNS * 0.15][0]
    rare = [word for word, count in by_count if count < 30][0]
    whose = int(index.search(rare)[0].owner)
    tag = bare.hget("{searched}:owners", whose).decode()
    ids, rows = bare.hgetall("{searched}:tokens"), []
    for name, text, owner in (
        ("rare word", rare, None),
        ("rare word, of one owner", rare, whose),
        ("common word", middle, None),
        ("common word, of one owner", middle, whose),
        ("very common word", common, None),
        ("two words", f"{common} {middle}", None),
        ("phrase", f'"{common} {middle}"', None),
    ):
        rows += row(index, bare, ids, name, text, owner, f"@o:{{{tag}}} " if owner else "")
    table("Search: medians in microseconds, 20 hits a page", COLUMNS, rows)


def row(index, bare, ids, name, text, owner, scope) -> list[tuple[str, ...]]:
    phrase = text.startswith('"')
    query = scope + (
        f"@w:({text})" if phrase else " ".join(f"@w:({word})" for word in text.split())
    )
    call = ("FT.SEARCH", index._layout.schema.name, query, "LIMIT", 0, 20, "DIALECT", 2)
    returned = ("RETURN", 3, "t", "w", "c")
    total = index.search(text, owner=owner).total
    calls = {
        "floor": lambda: said(bare.execute_command(*call, "WITHSCORES", *returned)),
        "ours": lambda: texts(index.search(text, owner=owner)),
        "by time": lambda: texts(index.search(text, owner=owner, order_by="-time")),
        "floor by time": lambda: said(
            bare.execute_command(*call, "SORTBY", "t", "DESC", *returned)
        ),
        "floor with titles": lambda: titled_rows(
            bare, ids, bare.execute_command(*call, "WITHSCORES", *returned)
        ),
        "titles": lambda: titled_hits(index.search(text, owner=owner)),
        "snippets": lambda: [hit.snippet_html for hit in index.search(text, owner=owner)],
    }
    assert calls["floor"]() == calls["ours"]()
    assert calls["floor with titles"]() == calls["titles"]()
    times, spent = interleaved(calls, 60), processor_times(bare, calls)

    def line(what: str, ours: str, floor: str = "floor", target: str = "") -> tuple[str, ...]:
        walls, cpus = (times[floor], times[ours]), (sum(spent[floor]), sum(spent[ours]))
        figures = [(f"{a:,.0f}", f"{b:,.0f}", f"{b / a:.2f}") for a, b in (walls, cpus)]
        return (what, f"{total:,}", *figures[0], target, *figures[1])

    return [
        line(name, "ours", target="1.5"),
        line("  with titles", "titles", "floor with titles"),
        line("  by time", "by time", "floor by time"),
        line("  with snippets", "snippets"),
    ]


def rows_of(reply: Any) -> list[dict[bytes, bytes]]:
    if isinstance(reply, dict):
        return [row[b"extra_attributes"] for row in reply[b"results"]]
    # With scores, or without.
    flat = [row for row in reply[1:] if isinstance(row, list)]
    return [dict(zip(row[::2], row[1::2], strict=True)) for row in flat]


def said(reply: Any) -> list[list[str]]:
    """The texts of the runs of a bare reply."""
    # The texts of this benchmark hold nothing that has a code in them.
    return [row[b"w"].decode().split(" _ ") for row in rows_of(reply)]


def texts(results: Any) -> list[list[str]]:
    return [[hit.run.input.text, hit.run.output.text] for hit in results]


def titled_rows(bare, ids: dict[bytes, bytes], reply: Any) -> list[list[str]]:
    """said(), and of each run the conversation, its owner and its title."""
    found = [ids[row[b"c"]] for row in rows_of(reply)]
    names = [*dict.fromkeys(found)]
    pipeline = bare.pipeline(transaction=False)
    for id in names:
        pipeline.hmget(b"{searched}:record:%b" % id, "owner", "title")
    facts = dict(zip(names, pipeline.execute(), strict=True))
    known = [[id.decode(), *(fact.decode() for fact in facts[id])] for id in found]
    return [[*of_run, *about] for of_run, about in zip(said(reply), known, strict=True)]


def titled_hits(results: Any) -> list[list[str]]:
    return [
        [*said, hit.conversation_id, hit.owner, hit.title]
        for said, hit in zip(texts(results), results, strict=True)
    ]
