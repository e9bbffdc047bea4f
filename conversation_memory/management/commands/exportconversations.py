from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import indexes
from conversation_memory.archive import OwnerExport
from conversation_memory.exceptions import counted
from conversation_memory.management.command import MemoryCommand
from conversation_memory.management.exit_codes import Exit
from conversation_memory.management.terminal import quoted


class Command(MemoryCommand):
    help = (
        "Write all conversations of an owner into a ZIP that a person can read and a program can "
        "load, to answer a request for access. The index can stay in use."
    )
    after_interrupt = "No ZIP was written; run it again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--owner", required=True, help="The owner: a user's primary key.")
        self.add_using(parser)
        parser.add_argument(
            "-o", "--output", default="-", metavar="FILE", help="Output file; '-' is stdout."
        )

    def handle(self, *args: Any, owner: str, using: str, output: str, **options: Any) -> None:
        if not owner:
            raise CommandError("An owner is required.", returncode=Exit.USAGE)
        if output == "-" and (self.stdout.isatty() or not hasattr(self.stdout, "buffer")):
            text = "A ZIP cannot be shown. Give --output FILE, or send stdout to a file."
            raise CommandError(text, returncode=Exit.USAGE)
        export = OwnerExport(indexes[using], owner)
        with self.writer(output) as write:
            chunks = iter(export)
            write(next(chunks))  # which selects the conversations: only then is the total known
            with self.progress("Exporting", total=export.total) as show:
                for chunk in chunks:
                    write(chunk)
                    show(export.count)
        self.summarise(export, using, "" if output == "-" else f" to {output}")

    def summarise(self, export: OwnerExport, using: str, where: str) -> None:
        if export.unreadable:
            self.warn(f"Unreadable, exported as stored: {export.unreadable:,} (see manifest.json).")
        if not self.verbosity:
            return
        what = f"{counted(export.count, 'conversation')}, {counted(export.runs, 'run')}"
        if export.open_runs:
            what += f", {counted(export.open_runs, 'open run')}"
        self.stderr.write(f"{using}: exported {what}{where}", self.style.SUCCESS)
        if others := [alias for alias in indexes if alias != using]:
            names = ", ".join(map(quoted, others))
            self.stderr.write(f"Not included: {names} (see --using).", self.style.NOTICE)
