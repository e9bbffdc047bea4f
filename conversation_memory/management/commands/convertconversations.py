from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import ConversationIndex, indexes
from conversation_memory.conversion import Conversion
from conversation_memory.management.base import MemoryCommand

_EVERY = 10_000


class Command(MemoryCommand):
    help = (
        "Bring every conversation of an index into the LAYOUT that the index has in settings. "
        "It may run beside writers; after an interruption, run it again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_using(parser, default="default", help="Alias of the index (default: 'default').")

    def handle(self, *args: Any, using: str, verbosity: int, **options: Any) -> None:
        index = indexes[using]
        with self.progress(index, verbosity) as progress:
            done = index.convert(progress=progress, failure=self.report)
        if verbosity:
            there = done.seen - done.converted - done.failed
            text = f"Converted {done.converted:,} conversations to layout {index.settings.layout!r}"
            self.stdout.write(self.style.SUCCESS(f"{text}; {there:,} had it already."))
        if done.failed:
            raise CommandError(f"{done.failed:,} conversations were left as they are; see above.")

    def report(self, error: Exception) -> None:
        self.stderr.write(str(error))

    @contextmanager
    def progress(
        self, index: ConversationIndex, verbosity: int
    ) -> Iterator[Callable[[Conversion], object]]:
        """A bar for a person at a terminal, else a line now and then."""
        if not verbosity:
            yield bool
        elif not (self.stderr.isatty() and find_spec("tqdm")):
            yield self.lines()
        else:
            from tqdm import tqdm  # type: ignore[import-untyped]

            with tqdm(total=index.count(), unit="", file=self.stderr, desc="Converting") as bar:
                yield lambda done: bar.update(done.seen - bar.n)

    def lines(self) -> Callable[[Conversion], None]:
        said = 0

        def say(done: Conversion) -> None:
            nonlocal said
            if done.seen // _EVERY > said:
                said = done.seen // _EVERY
                words = f"{done.seen:,} looked at, {done.converted:,} converted"
                self.stderr.write(words, self.style.NOTICE)

        return say
