from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import ConversationIndex, Selection, indexes
from conversation_memory.collection.bulk import Pruning
from conversation_memory.management.base import MemoryCommand
from conversation_memory.management.selection_args import add_selection, selection
from conversation_memory.text import counted

_REFUSAL = "Nothing was deleted."


class Command(MemoryCommand):
    help = (
        "Delete conversations: those named, those that --owner, --since and --until choose "
        "together, or --all. It says how much that is and asks before it deletes."
    )
    after_interrupt = "Nothing was deleted."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="*", metavar="id", help="Ids of conversations.")
        self.add_using(parser, default="default", help="Alias of the index (default: 'default').")
        add_selection(parser)
        parser.add_argument("--all", action="store_true", help="Every conversation of the index.")
        self.add_dry_run(parser)
        self.add_no_input(parser)

    def handle(
        self,
        *args: Any,
        ids: list[str],
        using: str,
        all: bool,
        dry_run: bool,
        interactive: bool,
        **options: Any,
    ) -> None:
        chosen = selection(options["owner"], options["since"], options["until"], ids)
        if all != chosen.is_everything:
            raise CommandError(
                "Name conversations, or choose by --owner, --since and --until, or else --all. "
                f"{_REFUSAL}"
            )
        index = indexes[using]
        if dry_run or interactive:
            foreseen = self.delete(index, chosen, dry_run=True)
            self.say(index, foreseen, "to delete")
            if missing := len({*ids}) - foreseen.conversations if ids else 0:
                self.stderr.write(f"Not there: {missing:,} of those named.", self.style.WARNING)
        if not dry_run:
            if interactive:
                self.confirm("This deletes them for good.", _REFUSAL)
            self.after_interrupt = "What was not deleted yet is there still; run it again."
            deleted = self.delete(index, chosen, dry_run=False)
            if self.verbosity:
                self.say(index, deleted, "deleted")

    def delete(self, index: ConversationIndex, chosen: Selection, *, dry_run: bool) -> Pruning:
        doing = "Counting" if dry_run else "Deleting"
        with self.progress(doing, total=None) as show:
            return index.prune(
                chosen,
                dry_run=dry_run,
                progress=lambda done: show(done.conversations),
            )

    def say(self, index: ConversationIndex, found: Pruning, what: str) -> None:
        self.stdout.write(
            f"{index.alias}: {counted(found.conversations, 'conversation')}, "
            f"{counted(found.runs, 'run')}, {counted(found.bytes, 'byte')} {what}"
        )
        if found.kept:
            self.stderr.write(
                f"Not chosen: {found.kept:,}. Another program wrote to them, or somebody did "
                "meanwhile, so they may be younger. Name them by their ids to delete them.",
                self.style.WARNING,
            )
