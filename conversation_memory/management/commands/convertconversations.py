from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import indexes
from conversation_memory.management.base import MemoryCommand
from conversation_memory.text import counted


class Command(MemoryCommand):
    help = (
        "Bring every conversation of an index into the LAYOUT that the index has in settings. "
        "It may run beside writers; after an interruption, run it again."
    )
    after_interrupt = "Every conversation is whole, in one layout or the other; run it again."

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_using(parser, default="default", help="Alias of the index (default: 'default').")

    def handle(self, *args: Any, using: str, **options: Any) -> None:
        index = indexes[using]
        total = index.count() if self.verbosity else None
        with self.progress("Converting", total=total) as show:
            done = index.convert(
                progress=lambda done: show(done.seen, f"{done.converted:,} converted"),
                failure=self.report,
            )
        if self.verbosity:
            there = done.seen - done.converted - done.failed
            converted = counted(done.converted, "conversation")
            text = f"Converted {converted} to layout {index.settings.layout!r}"
            self.stdout.write(self.style.SUCCESS(f"{text}; {there:,} had it already."))
        if done.failed:
            left = counted(done.failed, "conversation")
            raise CommandError(f"Left as they are, see above: {left}.")

    def report(self, error: Exception) -> None:
        self.stderr.write(str(error))
