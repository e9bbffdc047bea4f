"""What the management commands share."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from conversation_memory.exceptions import ConversationMemoryError

from . import progress
from .exit_codes import Exit, failure


class MemoryCommand(BaseCommand):
    """A command whose failures are sentences with an exit code, not tracebacks.

    `after_interrupt` is what it says at Ctrl-C: how things stand, and how to go on.
    """

    # An alias that is misconfigured says so when it is used, and keeps no other one waiting.
    requires_system_checks = []
    after_interrupt = ""
    verbosity = 1
    _called_from_command_line: bool

    def add_using(self, parser: Any, **kwargs: Any) -> None:
        # Not with `choices`, which would make of an unknown alias a wrong use of the option.
        parser.add_argument("--using", metavar="ALIAS", **kwargs)

    def add_dry_run(self, parser: Any, help: str = "Only count.") -> None:
        parser.add_argument("--dry-run", action="store_true", help=help)

    def add_no_input(self, parser: Any) -> None:
        parser.add_argument(
            "--noinput",
            "--no-input",
            action="store_false",
            dest="interactive",
            help="Do not ask for confirmation.",
        )

    def confirm(self, what: str, refusal: str) -> None:
        """Ask on the terminal whether to do `what`; raises CommandError(refusal) at a no."""
        try:
            answer = input(f"{what}\nType 'yes' to continue, or 'no' to cancel: ")
        except EOFError:
            raise CommandError(f"{refusal} Nobody is there to ask: see --no-input.") from None
        if answer != "yes":
            raise CommandError(refusal)

    def progress(
        self, doing: str, *, total: int | None = None, unit: str = "", scaled: bool = False
    ) -> AbstractContextManager[progress.Progress]:
        """See progress.shown()."""
        return progress.shown(
            self, doing, total=total, verbosity=self.verbosity, unit=unit, scaled=scaled
        )

    def execute(self, *args: Any, **options: Any) -> str | None:
        self.verbosity = options["verbosity"]
        try:
            output = super().execute(*args, **options)
            self.stdout.flush()  # here an error is a sentence still
            return output
        except BrokenPipeError:
            self._leave_quietly()
            raise
        except KeyboardInterrupt:
            if not self._called_from_command_line:
                raise
            said = f"Interrupted. {self.after_interrupt}".rstrip()
            raise CommandError(said, returncode=Exit.INTERRUPTED) from None
        except (ConversationMemoryError, OSError) as error:
            raise failure(error) from error

    def _leave_quietly(self) -> None:
        """End as what writes to `head` does, if the output is the one of the process."""
        if self._called_from_command_line:
            # Else the interpreter, which flushes at its end, would print the error once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(Exit.BROKEN_PIPE)
