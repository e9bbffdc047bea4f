"""How far a command is: a bar for a person at a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Protocol

from django.core.management.base import BaseCommand

# Seconds from one line to the next.
EVERY = 10.0


class Progress(Protocol):
    def __call__(self, done: int, words: str = "") -> None:
        """Show that `done` of all are done; `words` say more."""


@contextmanager
def shown(
    command: BaseCommand,
    doing: str,
    *,
    total: int | None = None,
    verbosity: int = 1,
    unit: str = "",
    scaled: bool = False,
) -> Iterator[Progress]:
    """What to call with how much of `total` is done, as often as one likes.

    `doing` is what the bar is called ("Dumping"), `unit` what it counts. `scaled` is for bytes.
    Everything goes to stderr, and nothing if `verbosity` is 0. Without tqdm there is no bar.
    """
    if not verbosity:
        yield lambda done, words="": None
    elif not (command.stderr.isatty() and find_spec("tqdm")):
        yield _lines(command, doing, total, unit)
    else:
        from tqdm import tqdm  # type: ignore[import-untyped]

        stream: Any = command.stderr
        with tqdm(total=total, unit=unit, unit_scale=scaled, file=stream, desc=doing) as bar:
            yield _updating(bar)


def _updating(bar: Any) -> Progress:
    def show(done: int, words: str = "") -> None:
        if words:
            bar.set_postfix_str(words, refresh=False)
        bar.update(done - bar.n)

    return show


def _lines(command: BaseCommand, doing: str, total: int | None, unit: str) -> Progress:
    said = time.monotonic()

    def say(done: int, words: str = "") -> None:
        nonlocal said
        if time.monotonic() - said >= EVERY:
            said = time.monotonic()
            command.stderr.write(_line(doing, done, total, unit, words), command.style.NOTICE)

    return say


def _line(doing: str, done: int, total: int | None, unit: str, words: str) -> str:
    of = "" if total is None else f" of {total:,}"
    return f"{doing}: {done:,}{of} {unit}".rstrip() + (f", {words}" if words else "")
