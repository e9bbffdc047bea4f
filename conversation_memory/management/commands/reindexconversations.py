from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import indexes
from conversation_memory.exceptions import counted
from conversation_memory.management.command import MemoryCommand


class Command(MemoryCommand):
    help = (
        "Write missing search documents: of conversations that were stored before SEARCH was set "
        "or changed, and of those that other programs wrote. The index can stay in use; after an "
        "interruption, run the command again."
    )
    after_interrupt = "Search documents that were written are kept; run it again for the rest."

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_using(parser)

    def handle(self, *args: Any, using: str, **options: Any) -> None:
        index = indexes[using]
        with self.progress("Indexing", total=self.total(index)) as show:
            done = index.reindex(
                progress=lambda done: show(done.seen, f"{done.indexed:,} indexed"),
                failure=self.report,
            )
        written = counted(done.documents, "search document")
        text = f"Wrote {written} for {counted(done.indexed, 'conversation')}"
        if done.swept:
            text += f", removed those of {counted(done.swept, 'deleted conversation')}"
        before = done.seen - done.indexed - done.failed
        self.say(self.style.SUCCESS(f"{text}; {before:,} had theirs already."))
        if done.failed:
            raise CommandError(f"Not readable, see above: {counted(done.failed, 'conversation')}.")
