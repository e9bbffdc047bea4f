from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import ConversationIndex, Selection, indexes
from conversation_memory.collection.bulk import Pruning
from conversation_memory.management.command import MemoryCommand, add_selection, selection, sums

_REFUSAL = "Nothing was deleted."


class Command(MemoryCommand):
    help = (
        "Delete conversations: those with the given ids, those that match --owner, --since and "
        "--until, or --all. The command counts them and asks for confirmation."
    )
    after_interrupt = _REFUSAL

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="*", metavar="id", help="Conversation ids.")
        self.add_using(parser)
        add_selection(parser)
        parser.add_argument("--all", action="store_true", help="Every conversation of the index.")
        parser.add_argument("--dry-run", action="store_true", help="Only count.")
        self.add_no_input(parser)

    def handle(
        self, *args: Any, ids: list[str], dry_run: bool, interactive: bool, **options: Any
    ) -> None:
        chosen = selection(options["owner"], options["since"], options["until"], ids)
        if options["all"] != (chosen == Selection()):
            raise CommandError(
                f"Give ids, or --owner, --since and --until, or --all alone. {_REFUSAL}"
            )
        index = indexes[options["using"]]
        if dry_run or interactive:
            foreseen = self.delete(index, chosen, dry_run=True)
            self.stdout.write(sums(index, foreseen, "to delete"))
            self.warn_of_missing(ids, foreseen)
        if not dry_run:
            if interactive:
                self.confirm("This permanently deletes them.", _REFUSAL)
            self.after_interrupt = "Some conversations may be left; run it again."
            deleted = self.delete(index, chosen, dry_run=False)
            self.say(sums(index, deleted, "deleted"))
            if not interactive:  # nothing was foreseen
                self.warn_of_missing(ids, deleted)

    def warn_of_missing(self, ids: list[str], found: Pruning) -> None:
        if ids and (missing := len({*ids}) - found.conversations):
            self.warn(f"Not found: {missing:,} of the given ids.")

    def delete(self, index: ConversationIndex, chosen: Selection, *, dry_run: bool) -> Pruning:
        with self.progress("Counting" if dry_run else "Deleting") as show:
            done = index.prune(chosen, dry_run=dry_run, progress=lambda it: show(it.conversations))
        if done.kept and (dry_run or self.verbosity):
            self.warn(
                f"Skipped: {done.kept:,}, which another program or a concurrent writer changed, "
                "so that they may be more recent. To delete them, give their ids."
            )
        return done
