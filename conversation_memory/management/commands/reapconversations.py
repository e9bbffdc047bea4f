from typing import Any

from django.core.management.base import CommandParser

from conversation_memory import ConversationIndex, indexes
from conversation_memory.exceptions import counted
from conversation_memory.management.command import MemoryCommand


class Command(MemoryCommand):
    help = "Delete expired conversations. Intended for cron."

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_using(parser, "Alias of the index (default: every index).", default=None)

    def handle(self, *args: Any, using: str | None, **options: Any) -> None:
        self.in_each([*indexes] if using is None else [using], _reap)


def _reap(index: ConversationIndex) -> str:
    return f"deleted {counted(index.reap(), 'expired conversation')}"
