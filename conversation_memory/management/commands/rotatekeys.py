from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import indexes
from conversation_memory.collection.selection import EVERYTHING
from conversation_memory.exceptions import counted
from conversation_memory.management.command import MemoryCommand, add_selection, selection


class Command(MemoryCommand):
    help = (
        "Encrypt conversations with the newest key of ENCRYPTION: those that an older key has "
        "encrypted and, with READ_PLAINTEXT, those that are not encrypted. The index can stay in "
        "use; after an interruption, run the command again."
    )
    after_interrupt = "Every conversation can be read with its old or its new key; run it again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="*", metavar="id", help="Conversation ids.")
        self.add_using(parser)
        add_selection(parser)

    def handle(self, *args: Any, using: str, ids: list[str], **options: Any) -> None:
        index = indexes[using]
        chosen = selection(options["owner"], options["since"], options["until"], ids)
        total = self.total(index) if chosen == EVERYTHING else None
        with self.progress("Encrypting", total=total) as show:
            done = index.rotate_keys(
                chosen,
                progress=lambda done: show(done.seen, f"{done.rotated:,} encrypted"),
                failure=self.report,
            )
        before = done.seen - done.rotated - done.failed
        text = f"Encrypted {counted(done.rotated, 'conversation')} with the newest key"
        self.say(self.style.SUCCESS(f"{text}; {before:,} had it already."))
        if done.items:
            self.say(f"Encrypted {counted(done.items, 'item')} of LangGraph with it, too.")
        failed = {"conversation": done.failed, "item": done.failed_items}
        if any(failed.values()):
            left = " and ".join(counted(number, what) for what, number in failed.items() if number)
            raise CommandError(f"Not encrypted, see above: {left}.")
