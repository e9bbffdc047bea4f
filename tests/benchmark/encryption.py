"""Encrypted beside plain: load, tail and append, in both layouts and with both algorithms."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from functools import partial
from itertools import count
from os import urandom

from conversation_memory import ConversationIndex, Run, indexes
from conversation_memory.encryption.keyring import ALGORITHMS, EncryptionSettings

from .driver import run_dict
from .measure import least, table

SIZES = (10, 100, 1000)


def main() -> None:
    numbers = count(10**9)
    rows = []
    for layout in ("hash", "list"):
        kinds = {algorithm: _index(layout, algorithm) for algorithm in (None, *ALGORITHMS)}
        for size in SIZES:
            rows += _rows(layout, size, kinds, numbers)
        for index in kinds.values():
            index.delete(*index)
            index.driver().client.delete(index._layout.keys.proofs())
    table(
        "Encryption: the least in microseconds, and how many times as long as plain",
        ("operation", "layout", "runs", "plain", *(part for it in ALGORITHMS for part in (it, ""))),
        rows,
    )


def _index(layout: str, algorithm: str | None) -> ConversationIndex:
    settings = replace(indexes["default"].settings, layout=layout)
    if algorithm is None:
        return ConversationIndex(settings)
    keys = [{"id": "k", "key": b64encode(urandom(32)).decode()}]
    encryption = EncryptionSettings(keys=keys, algorithm=algorithm)
    name = f"benchmark-{algorithm}"
    return ConversationIndex(replace(settings, index=name, encryption=encryption))


def _rows(layout, size, kinds, numbers) -> list[tuple[str, ...]]:
    runs = [Run.from_dict(run_dict(number)) for number in range(size)]
    drivers = {kind: index.driver("c") for kind, index in kinds.items()}
    rounds = 40 if size > 100 else 200
    calls = {
        "load": lambda driver: driver.load(),
        "load, half appended": lambda driver: driver.load(),
        "tail of 10": lambda driver: driver.tail(10),
        "append": lambda driver: driver.append(run_dict(next(numbers))),
    }

    def restore(appended: int) -> None:
        for driver in drivers.values():
            driver.store(runs[: size - appended], {})
            for run in runs[size - appended :]:
                driver.append(run)

    rows = []
    for name, call in calls.items():
        # Of an encrypted document, each append is a segment that a reader opens for itself.
        restore(min(size // 2, 16) if name == "load, half appended" else 0)
        by_kind = {kind: partial(call, driver) for kind, driver in drivers.items()}
        # An append to a conversation that has grown by all those before it would be another one.
        again = partial(restore, 0) if name == "append" else None
        times = {kind: it.wall for kind, it in least(by_kind, rounds, before=again).items()}
        plain = times.pop(None)
        cells = [
            part for time in times.values() for part in (f"{time:,.0f}", f"{time / plain:.2f}")
        ]
        rows.append((name, layout, f"{size:,}", f"{plain:,.0f}", *cells))
    return rows
