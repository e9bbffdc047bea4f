from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import ConversationIndex, Erasure, indexes
from conversation_memory.collection.erase import Copies
from conversation_memory.management.base import MemoryCommand
from conversation_memory.text import counted


class Command(MemoryCommand):
    help = "Delete every conversation of an owner, and say what may still hold copies of them."
    after_interrupt = "What was not erased yet is there still; run it again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("owner", help="As the conversations name it: a user's primary key.")
        where = parser.add_mutually_exclusive_group()
        self.add_using(where, default="default", help="Alias of the index (default: 'default').")
        where.add_argument("--all-indexes", action="store_true", help="Look into every index.")
        self.add_dry_run(parser)
        self.add_no_input(parser)

    def handle(
        self,
        *args: Any,
        owner: str,
        using: str,
        all_indexes: bool,
        dry_run: bool,
        interactive: bool,
        verbosity: int,
        **options: Any,
    ) -> None:
        if not owner:
            raise CommandError("Name an owner: what belongs to nobody is not erased.")
        chosen = [indexes[alias] for alias in (indexes if all_indexes else [using])]
        if dry_run or interactive:
            for index in chosen:
                self.say(index, index.erase(owner=owner, dry_run=True), "to erase")
        if not dry_run:
            self.erase(chosen, owner, interactive, verbosity)
        others = [alias for alias in indexes if alias not in [index.alias for index in chosen]]
        if others and verbosity:
            names = ", ".join(map(repr, others))
            self.stderr.write(f"Not looked into: {names} (see --all-indexes).", self.style.NOTICE)

    def erase(
        self, chosen: Sequence[ConversationIndex], owner: str, interactive: bool, verbosity: int
    ) -> None:
        if interactive:
            question = f"This deletes every conversation of {owner!r} for good."
            self.confirm(question, "Nothing was erased.")
        for index in chosen:
            erased = index.erase(owner=owner)
            if verbosity:
                self.say(index, erased, "erased")
                for sentence in sentences(index.copies()):
                    self.stderr.write(f"{index.alias}: {sentence}", self.style.WARNING)

    def say(self, index: ConversationIndex, found: Erasure, what: str) -> None:
        self.stdout.write(
            f"{index.alias}: {counted(found.conversations, 'conversation')}, "
            f"{counted(found.runs, 'run')}, {counted(found.bytes, 'byte')} {what}"
        )


def sentences(copies: Copies) -> Iterator[str]:
    """Where the erased may still be, and what to do about it."""
    if copies.append_only_file is None:
        yield "This user may not ask the server (INFO) for its append-only file; run BGREWRITEAOF."
    elif copies.append_only_file:
        yield "The append-only file holds what was erased until it is rewritten; run BGREWRITEAOF."
    when = f" (last written {copies.saved:%Y-%m-%d %H:%M} UTC)" if copies.saved else ""
    yield f"An RDB snapshot{when} holds it until the next one; run BGSAVE, and mind its backups."
    if copies.replicas:
        yield f"{copies.replicas} replicas have files of their own; run the same there."
    elif copies.replicas is None:
        yield "The server does not say whether it has replicas, which have files of their own."
    yield "Dumps and backups that were made before hold it; delete or renew them."
