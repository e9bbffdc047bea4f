from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import indexes
from conversation_memory.collection.erase import Copies
from conversation_memory.management.command import MemoryCommand, sums


class Command(MemoryCommand):
    help = "Delete all conversations of an owner, and list where copies may remain."
    after_interrupt = "Some conversations may be left; run it again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("owner", help="The owner of the conversations: a user's primary key.")
        where = parser.add_mutually_exclusive_group()
        self.add_using(where)
        where.add_argument("--all-indexes", action="store_true", help="Erase from every index.")
        parser.add_argument("--dry-run", action="store_true", help="Only count.")
        self.add_no_input(parser)

    def handle(
        self, *args: Any, owner: str, dry_run: bool, interactive: bool, **options: Any
    ) -> None:
        if not owner:
            raise CommandError("An owner is required.")
        aliases = [*indexes] if options["all_indexes"] else [options["using"]]
        chosen = [indexes[alias] for alias in aliases]
        if dry_run or interactive:
            for index in chosen:
                foreseen = index.erase(owner=owner, dry_run=True)
                self.stdout.write(sums(index, foreseen, "to erase"))
        if not dry_run:
            if interactive:
                question = f"This permanently deletes all conversations of {owner!r}."
                self.confirm(question, "Nothing was erased.")
            for index in chosen:
                self.say(sums(index, index.erase(owner=owner), "erased"))
                for sentence in _advice(index.copies()) if self.verbosity else ():
                    self.warn(f"{index.alias}: {sentence}")
        others = [alias for alias in indexes if alias not in aliases]
        if others and self.verbosity:
            names = ", ".join(map(repr, others))
            self.stderr.write(f"Not included: {names} (see --all-indexes).", self.style.NOTICE)


def _advice(copies: Copies) -> Iterator[str]:
    """Where copies of the erased data may remain, and what to do about each."""
    if copies.append_only_file is None:
        yield "An append-only file may hold the data (INFO is not permitted); run BGREWRITEAOF."
    elif copies.append_only_file:
        yield "The append-only file holds the data until it is rewritten; run BGREWRITEAOF."
    when = f" (last written {copies.saved:%Y-%m-%d %H:%M} UTC)" if copies.saved else ""
    yield f"An RDB snapshot{when} holds it until the next one; run BGSAVE and delete its backups."
    if copies.replicas:
        yield f"{copies.replicas} replicas have files of their own; do the same there."
    elif copies.replicas is None:
        yield "The server does not report its replicas, which have files of their own."
    yield "Dumps and backups made earlier still hold it; delete or replace them."
