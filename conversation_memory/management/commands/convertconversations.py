from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import indexes
from conversation_memory.exceptions import counted
from conversation_memory.management.command import MemoryCommand


class Command(MemoryCommand):
    help = (
        "Convert every conversation of an index to the LAYOUT in its settings. The index can stay "
        "in use; after an interruption, run the command again."
    )
    after_interrupt = "Every conversation is complete in one layout or the other; run it again."

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_using(parser)

    def handle(self, *args: Any, using: str, **options: Any) -> None:
        index = indexes[using]
        with self.progress("Converting", total=self.total(index)) as show:
            done = index.convert(
                progress=lambda done: show(done.seen, f"{done.converted:,} converted"),
                failure=self.report,
            )
        converted = counted(done.converted, "conversation")
        text = f"Converted {converted} to layout {index.settings.layout!r}"
        before = done.seen - done.converted - done.failed
        self.say(self.style.SUCCESS(f"{text}; {before:,} had it already."))
        if done.failed:
            raise CommandError(f"Not converted, see above: {counted(done.failed, 'conversation')}.")
