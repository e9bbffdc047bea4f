from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import ConversationIndex, indexes
from conversation_memory.exceptions import counted
from conversation_memory.management.command import MemoryCommand


class Command(MemoryCommand):
    help = (
        "Convert every conversation of an index to the LAYOUT in its settings; or with --shards, "
        "move all of them into another number of shards. The index can stay in use; after an "
        "interruption, run the command again."
    )
    after_interrupt = "Every conversation is complete in its old or its new form; run it again."

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_using(parser)
        parser.add_argument(
            "--shards",
            type=int,
            metavar="N",
            help="Move the conversations into so many shards, which SHARDS must name already.",
        )

    def handle(self, *args: Any, using: str, shards: int | None = None, **options: Any) -> None:
        if shards is not None:
            return self._reshard(indexes[using], shards)
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

    def _reshard(self, index: ConversationIndex, shards: int) -> None:
        if shards < 2 or shards != index.settings.shards:
            raise CommandError(_settings_first(index, shards))
        with self.progress("Moving", total=self.total(index)) as show:
            done = index.reshard(progress=lambda done: show(done.seen), failure=self.report)
        moved = counted(done.converted, "conversation")
        if done.failed:
            raise CommandError(
                f"Moved {moved}. Not moved, see above: {done.failed:,}. The index can be used; "
                "repair them, and run this command again."
            )
        self.say(self.style.SUCCESS(f"Moved {moved}. The index has {shards} shards."))


def _settings_first(index: ConversationIndex, shards: int) -> str:
    if shards < 2:
        return (
            "An index with SHARDS needs at least 2. To get one without, dump it, and load the "
            "archive into an index of another name."
        )
    return (
        f"SHARDS of alias {index.alias!r} is {index.settings.shards}, not {shards}. Set it in the "
        "settings of all processes and restart them; the index keeps its shards until they move."
    )
