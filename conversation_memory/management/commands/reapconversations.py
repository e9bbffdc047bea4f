from typing import Any

from django.core.management.base import CommandParser

from conversation_memory import indexes
from conversation_memory.exceptions import counted
from conversation_memory.management.command import MemoryCommand


class Command(MemoryCommand):
    help = "Delete expired conversations. Intended for cron."

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_using(parser, "Alias of the index (default: every index).", default=None)

    def handle(self, *args: Any, using: str | None, **options: Any) -> None:
        aliases = [*indexes] if using is None else [using]
        self.in_each(aliases, lambda it: f"deleted {counted(it.reap(), 'expired conversation')}")
