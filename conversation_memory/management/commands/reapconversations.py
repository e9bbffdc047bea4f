from typing import Any

from django.core.management.base import CommandParser

from conversation_memory import ConversationIndex, indexes
from conversation_memory.exceptions import counted
from conversation_memory.management.command import MemoryCommand


class Command(MemoryCommand):
    help = (
        "Delete expired conversations, and fail replies that no worker has finished in time. "
        "Intended for cron."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_using(parser, "Alias of the index (default: every index).", default=None)

    def handle(self, *args: Any, using: str | None, **options: Any) -> None:
        aliases = [*indexes] if using is None else [using]
        self.in_each(aliases, _reaped)


def _reaped(index: ConversationIndex) -> str:
    deleted = f"deleted {counted(index.reap(), 'expired conversation')}"
    failed = index.fail_abandoned()
    return f"{deleted}, failed {_replies(failed)}" if failed else deleted


def _replies(count: int) -> str:
    return f"{count:,} abandoned {'reply' if count == 1 else 'replies'}"
