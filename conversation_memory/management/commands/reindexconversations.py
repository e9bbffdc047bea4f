from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import ConversationIndex, indexes
from conversation_memory.management.base import MemoryCommand
from conversation_memory.search.reindexing import Reindexing

_EVERY = 10_000


class Command(MemoryCommand):
    help = (
        "Write the search documents that are missing: of what was stored before SEARCH was set or "
        "changed, and of what other programs wrote. It may run beside writers; after an "
        "interruption, run it again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_using(parser, default="default", help="Alias of the index (default: 'default').")

    def handle(self, *args: Any, using: str, verbosity: int, **options: Any) -> None:
        index = indexes[using]
        with self.progress(index, verbosity) as progress:
            done = index.reindex(progress=progress, failure=self.report)
        if verbosity:
            self.stdout.write(self.style.SUCCESS(_sentence(done)))
        if done.failed:
            raise CommandError(f"{done.failed:,} conversations could not be read; see above.")

    def report(self, error: Exception) -> None:
        self.stderr.write(str(error))

    @contextmanager
    def progress(
        self, index: ConversationIndex, verbosity: int
    ) -> Iterator[Callable[[Reindexing], object]]:
        """A bar for a person at a terminal, else a line now and then."""
        if not verbosity:
            yield bool
        elif not (self.stderr.isatty() and find_spec("tqdm")):
            yield self.lines()
        else:
            from tqdm import tqdm  # type: ignore[import-untyped]

            with tqdm(total=index.count(), unit="", file=self.stderr, desc="Indexing") as bar:
                yield lambda done: bar.update(done.seen - bar.n)

    def lines(self) -> Callable[[Reindexing], None]:
        said = 0

        def say(done: Reindexing) -> None:
            nonlocal said
            if done.seen // _EVERY > said:
                said = done.seen // _EVERY
                words = f"{done.seen:,} looked at, {done.indexed:,} indexed"
                self.stderr.write(words, self.style.NOTICE)

        return say


def _sentence(done: Reindexing) -> str:
    there = done.seen - done.indexed - done.failed
    gone = f" Deleted those of {done.swept:,} that are gone." if done.swept else ""
    return (
        f"Wrote {done.documents:,} search documents of {done.indexed:,} conversations; "
        f"{there:,} had theirs already.{gone}"
    )
