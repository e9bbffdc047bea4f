from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import indexes
from conversation_memory.archive import ChatDump, Dump, files
from conversation_memory.management.base import MemoryCommand
from conversation_memory.management.exit_codes import Exit
from conversation_memory.management.selection_args import add_selection, selection
from conversation_memory.text import counted

FORMATS = {"archive": Dump, "messages": ChatDump}


class Command(MemoryCommand):
    help = (
        "Write conversations into an archive, or to stdout, while the index is in use. "
        "loadconversations reads it."
    )
    after_interrupt = "No archive was written; run it again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="*", metavar="id", help="Ids of conversations.")
        self.add_using(parser, default="default", help="Alias of the index (default: 'default').")
        add_selection(parser)
        parser.add_argument(
            "-o",
            "--output",
            default="-",
            metavar="FILE",
            help="File to write, compressed if it ends in .gz or .zst; '-' is stdout.",
        )
        parser.add_argument(
            "--format",
            choices=FORMATS,
            default="archive",
            help="archive: everything; messages: texts for other programs (default: archive).",
        )

    def handle(
        self,
        *args: Any,
        ids: list[str],
        using: str,
        output: str,
        format: str,
        **options: Any,
    ) -> None:
        chosen = selection(options["owner"], options["since"], options["until"], ids)
        dump = FORMATS[format](indexes[using], chosen)
        with self.writer(output) as write:
            self.dump(dump, write)
        where = "" if output == "-" else f" to {output}"
        if self.verbosity:
            said = f"{using}: {counted(dump.count, 'conversation')} dumped{where}"
            self.stderr.write(said, self.style.SUCCESS)
        self.say_unreadable(dump)

    def dump(self, dump: Dump, write: Callable[[bytes], object]) -> None:
        chunks = iter(dump)
        write(next(chunks))  # from here on it is known how many there are
        with self.progress("Dumping", total=dump.total) as show:
            for chunk in chunks:
                write(chunk)
                show(dump.count)

    def say_unreadable(self, dump: Dump) -> None:
        if not dump.unreadable:
            return
        if isinstance(dump, ChatDump):
            raise CommandError(
                f"Left out, as they cannot be read: {dump.unreadable:,}.",
                returncode=Exit.FAILED,
            )
        self.stderr.write(
            f"In the archive as they are, but not to be read: {dump.unreadable:,}.",
            self.style.WARNING,
        )

    @contextmanager
    def writer(self, output: str) -> Iterator[Callable[[bytes], object]]:
        if output != "-":
            with files.written(Path(output)) as file:
                yield file.write
        elif buffer := getattr(self.stdout, "buffer", None):
            yield buffer.write
            buffer.flush()
        else:  # call_command() with a StringIO
            yield lambda chunk: self.stdout.write(chunk.decode(), ending="")
