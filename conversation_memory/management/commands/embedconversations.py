from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import indexes
from conversation_memory.exceptions import ConversationMemoryError
from conversation_memory.management.base import MemoryCommand
from conversation_memory.text import counted


class Command(MemoryCommand):
    help = "Make the vectors of the runs that have none yet, where SEARCH has EMBED. Made for cron."

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_using(parser, help="Alias of the index; by default every index that has EMBED.")

    def handle(self, *args: Any, using: str | None, verbosity: int, **options: Any) -> None:
        if using is not None and not indexes[using].embeds:
            raise CommandError(f"There is no EMBED in SEARCH of alias {using!r}.")
        aliases = [name for name in indexes if indexes[name].embeds] if using is None else [using]
        failed = [alias for alias in aliases if not self.embed(alias, verbosity)]
        if failed:
            raise CommandError(f"Not done: {', '.join(map(repr, failed))}.")

    def embed(self, alias: str, verbosity: int) -> bool:
        """Whether it could be done: an index that fails keeps no other one waiting."""
        try:
            count = indexes[alias].embed()
        except ConversationMemoryError as error:
            self.stderr.write(str(error))
            return False
        if verbosity:
            self.stdout.write(f"{alias}: made the vectors of {counted(count, 'run')}")
        return True
