from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import indexes
from conversation_memory.exceptions import ConversationMemoryError
from conversation_memory.management.base import MemoryCommand
from conversation_memory.text import counted


class Command(MemoryCommand):
    help = "Delete the conversations that are past their deadline. Made for cron."

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_using(parser, help="Alias of the index; by default every index is reaped.")

    def handle(self, *args: Any, using: str | None, verbosity: int, **options: Any) -> None:
        aliases = [*indexes] if using is None else [using]
        failed = [alias for alias in aliases if not self.reap(alias, verbosity)]
        if failed:
            raise CommandError(f"Not reaped: {', '.join(map(repr, failed))}.")

    def reap(self, alias: str, verbosity: int) -> bool:
        """Whether the index could be reaped: one that fails keeps no other one waiting."""
        try:
            count = indexes[alias].reap()
        except ConversationMemoryError as error:
            self.stderr.write(str(error))
            return False
        if verbosity:
            self.stdout.write(f"{alias}: {counted(count, 'conversation')} reaped")
        return True
