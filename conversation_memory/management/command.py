"""The base of the management commands, and the options that they share."""

import os
import re
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from conversation_memory import ConversationIndex, Erasure, indexes
from conversation_memory.archive import files
from conversation_memory.collection.bulk import Pruning
from conversation_memory.collection.selection import Selection
from conversation_memory.exceptions import ConversationMemoryError, counted

from .exit_codes import Exit, failure

# Seconds between two lines of progress.
EVERY = 10.0

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_ago = re.compile(r"(\d{1,9})([smhdw])").fullmatch


class Progress(Protocol):
    def __call__(self, done: int, words: str = "") -> None:
        """Show that `done` of all are done; `words` add details."""


class MemoryCommand(BaseCommand):
    """A command that reports failures as a sentence and an exit code, without a traceback.

    `after_interrupt` is printed after Ctrl-C: the state of the data, and how to continue.
    """

    # A misconfigured alias reports its own error when it is used, and must not block the others.
    requires_system_checks = []
    after_interrupt = ""
    verbosity = 1
    _called_from_command_line: bool

    def add_using(
        self,
        parser: Any,
        help: str = "Alias of the index (default: 'default').",
        default: str | None = "default",
    ) -> None:
        # Without `choices`: argparse would report an unknown alias as a usage error, code 2.
        parser.add_argument("--using", metavar="ALIAS", help=help, default=default)

    def add_no_input(self, parser: CommandParser) -> None:
        help = "Do not ask for confirmation."
        names = ("--noinput", "--no-input")  # as Django's own commands
        parser.add_argument(*names, action="store_false", dest="interactive", help=help)

    def confirm(self, question: str, refusal: str) -> None:
        """Ask on the terminal; raises CommandError(refusal) unless the user answers yes."""
        try:
            answer = input(f"{question}\nType 'yes' to continue, or 'no' to cancel: ")
        except EOFError:
            raise CommandError(f"{refusal} Confirmation is required; see --no-input.") from None
        if answer != "yes":
            raise CommandError(refusal)

    def in_each(self, aliases: Iterable[str], work: Callable[[ConversationIndex], str]) -> None:
        """Print the result of `work` for each index; a failure does not stop the others.

        The exit code is that of the first failure.
        """
        failed: dict[str, ConversationMemoryError] = {}
        for alias in aliases:
            try:
                self.say(f"{alias}: {work(indexes[alias])}")
            except ConversationMemoryError as error:
                self.report(error)
                failed[alias] = error
        if failed:
            code = failure(next(iter(failed.values()))).returncode
            raise CommandError(f"Failed: {', '.join(map(repr, failed))}.", returncode=code)

    @contextmanager
    def writer(self, output: str) -> Iterator[Callable[[bytes], object]]:
        """A function that writes bytes to the file `output`, which '-' is for stdout."""
        if output != "-":
            with files.written(Path(output)) as file:
                yield file.write
        elif buffer := getattr(self.stdout, "buffer", None):
            yield buffer.write
            buffer.flush()
        else:  # call_command() with a StringIO
            yield lambda chunk: self.stdout.write(chunk.decode(), ending="")

    def say(self, text: str) -> None:
        if self.verbosity:
            self.stdout.write(text)

    def warn(self, text: str) -> None:
        self.stderr.write(text, self.style.WARNING)

    def report(self, error: Exception) -> None:
        self.stderr.write(str(error))

    def total(self, index: ConversationIndex) -> int | None:
        """The total of a progress bar."""
        return index.count() if self.verbosity else None  # no round trip without a bar

    @contextmanager
    def progress(
        self, doing: str, *, total: int | None = None, unit: str = ""
    ) -> Iterator[Progress]:
        """A function to call with the count so far, as often as one likes.

        `doing` labels the bar ("Dumping"); a count with a `unit` is shown as 1.5k, 2M. The output
        goes to stderr: a bar on a terminal if tqdm is installed, otherwise a line every `EVERY`
        seconds, and nothing if the verbosity is 0.
        """
        if not self.verbosity:
            yield lambda done, words="": None
        elif not (self.stderr.isatty() and find_spec("tqdm")):
            yield self._lines(doing, total, unit)
        else:
            from tqdm import tqdm  # type: ignore[import-untyped]

            # Not Django's wrapper, which ends each write with a line break and colours it red.
            stream, scaled = self.stderr._out, bool(unit)
            with tqdm(total=total, unit=unit, unit_scale=scaled, file=stream, desc=doing) as bar:

                def show(done: int, words: str = "") -> None:
                    if words:
                        bar.set_postfix_str(words, refresh=False)  # update() draws it
                    bar.update(done - bar.n)

                yield show

    def _lines(self, doing: str, total: int | None, unit: str) -> Progress:
        of = "" if total is None else f" of {total:,}"
        written = time.monotonic()

        def show(done: int, words: str = "") -> None:
            nonlocal written
            if time.monotonic() - written >= EVERY:
                written = time.monotonic()
                line = f"{doing}: {done:,}{of} {unit}".rstrip() + (f", {words}" if words else "")
                self.stderr.write(line, self.style.NOTICE)

        return show

    def execute(self, *args: Any, **options: Any) -> str | None:
        self.verbosity = options["verbosity"]
        try:
            output = super().execute(*args, **options)
            self.stdout.flush()  # a closed pipe or a full disk may show only now
            return output
        except BrokenPipeError:
            if self._called_from_command_line:
                # Otherwise the interpreter flushes at exit and prints the error once more.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                sys.exit(Exit.BROKEN_PIPE)
            raise
        except KeyboardInterrupt:
            if not self._called_from_command_line:
                raise
            text = f"Interrupted. {self.after_interrupt}".rstrip()
            raise CommandError(text, returncode=Exit.INTERRUPTED) from None
        except (ConversationMemoryError, OSError) as error:
            raise failure(error) from error


def sums(index: ConversationIndex, found: Erasure | Pruning, what: str) -> str:
    return (
        f"{index.alias}: {counted(found.conversations, 'conversation')}, "
        f"{counted(found.runs, 'run')}, {counted(found.bytes, 'byte')} {what}"
    )


def moment(text: str) -> datetime:
    """The aware time of `2026-05-31`, `2026-05-31T12:00` (current time zone) or `30d` (ago)."""
    try:
        if ago := _ago(text):
            return timezone.now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        time = parse_datetime(text)
        if time is None:
            raise ValueError
        return time if timezone.is_aware(time) else timezone.make_aware(time)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(
            f"{text[:100]!r} is not a date (2026-05-31), a date and time (2026-05-31T12:00) or an "
            "age (30d, 12h)."
        ) from None


def add_selection(parser: Any) -> None:
    parser.add_argument("--owner", help="Only conversations of this owner: a user's primary key.")
    parser.add_argument(
        "--since",
        metavar="TIME",
        type=moment,
        help="Only conversations written to since then: an ISO 8601 date or time, or an age (30d).",
    )
    parser.add_argument(
        "--until",
        metavar="TIME",
        type=moment,
        help="Only conversations not written to since then; a date means its start.",
    )


def selection(owner: Any, since: Any, until: Any, ids: Sequence[str] = ()) -> Selection:
    try:
        # call_command() does not parse options, which may be times as strings.
        since, until = (moment(t) if isinstance(t, str) else t for t in (since, until))
        return Selection(owner, since, until, ids or None)
    except (ArgumentTypeError, ValueError) as error:
        raise CommandError(str(error)) from None
