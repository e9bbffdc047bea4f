from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import indexes
from conversation_memory.exceptions import counted
from conversation_memory.management.command import MemoryCommand
from conversation_memory.management.exit_codes import Exit


class Command(MemoryCommand):
    help = "Embed the runs that have no vector yet, where SEARCH has EMBED. Intended for cron."

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_using(parser, "Alias of the index (default: every index with EMBED).", None)

    def handle(self, *args: Any, using: str | None, **options: Any) -> None:
        asked = [*indexes] if using is None else [using]
        aliases = [alias for alias in asked if indexes[alias].embeds]
        if not aliases:
            where = "No alias has" if using is None else f"Alias {using!r} does not have"
            text = f"{where} EMBED in SEARCH, which makes vectors. Nothing was embedded."
            raise CommandError(text, returncode=Exit.USAGE)
        self.in_each(aliases, lambda index: f"embedded {counted(index.embed(), 'run')}")
