"""What the management commands share."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from conversation_memory import indexes
from conversation_memory.exceptions import ConversationMemoryError


class MemoryCommand(BaseCommand):
    """A command whose failures of Redis and of settings are sentences, not tracebacks."""

    def add_using(self, parser: Any, **kwargs: Any) -> None:
        parser.add_argument("--using", metavar="ALIAS", choices=tuple(indexes), **kwargs)

    def create_parser(self, *args: Any, **kwargs: Any) -> CommandParser:
        try:
            return super().create_parser(*args, **kwargs)
        except ConversationMemoryError as error:
            raise CommandError(str(error)) from error

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except ConversationMemoryError as error:
            raise CommandError(str(error)) from error
