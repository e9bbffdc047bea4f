from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import indexes
from conversation_memory.exceptions import counted
from conversation_memory.management.command import MemoryCommand


class Command(MemoryCommand):
    help = "Embed the runs that have no vector yet, where SEARCH has EMBED. Intended for cron."

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_using(parser, "Alias of the index (default: every index with EMBED).", None)

    def handle(self, *args: Any, using: str | None, **options: Any) -> None:
        if using is not None and not indexes[using].embeds:
            raise CommandError(f"SEARCH of alias {using!r} has no EMBED.")
        embedding = [alias for alias in indexes if indexes[alias].embeds]
        aliases = embedding if using is None else [using]
        self.in_each(aliases, lambda index: f"embedded {counted(index.embed(), 'run')}")
