from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import indexes
from conversation_memory.management.base import MemoryCommand
from conversation_memory.search.reindex import Reindexing
from conversation_memory.text import counted


class Command(MemoryCommand):
    help = (
        "Write the search documents that are missing: of what was stored before SEARCH was set or "
        "changed, and of what other programs wrote. It may run beside writers; after an "
        "interruption, run it again."
    )
    after_interrupt = "What has its documents keeps them; run it again for the others."

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_using(parser, default="default", help="Alias of the index (default: 'default').")

    def handle(self, *args: Any, using: str, **options: Any) -> None:
        index = indexes[using]
        total = index.count() if self.verbosity else None
        with self.progress("Indexing", total=total) as show:
            done = index.reindex(
                progress=lambda done: show(done.seen, f"{done.indexed:,} indexed"),
                failure=self.report,
            )
        if self.verbosity:
            self.stdout.write(self.style.SUCCESS(_sentence(done)))
        if done.failed:
            left = counted(done.failed, "conversation")
            raise CommandError(f"Not to be read, see above: {left}.")

    def report(self, error: Exception) -> None:
        self.stderr.write(str(error))


def _sentence(done: Reindexing) -> str:
    there = done.seen - done.indexed - done.failed
    gone = f" Deleted those of {done.swept:,} that are gone." if done.swept else ""
    return (
        f"Wrote {counted(done.documents, 'search document')} of "
        f"{counted(done.indexed, 'conversation')}; "
        f"{there:,} had theirs already.{gone}"
    )
