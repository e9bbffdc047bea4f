import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import indexes
from conversation_memory.collection.summaries import Summary
from conversation_memory.management import terminal
from conversation_memory.management.command import MemoryCommand, add_selection, selection

_HEADINGS = ("ID", "UPDATED", "RUNS", "BYTES", "OWNER", "EXPIRES", "TITLE")
_MEASURED = 100  # conversations that decide the widths of the columns
_WIDEST = 40
_NARROWEST_TITLE = 10


class Command(MemoryCommand):
    help = (
        "List conversations, most recent first. Ids and owners are quoted for the shell. "
        "Conversations that are written to while the list is printed may be missing."
    )
    after_interrupt = "The list is not complete."

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_using(parser)
        add_selection(parser)
        parser.add_argument("--limit", type=int, metavar="N", help="At most N conversations.")
        parser.add_argument("--json", action="store_true", help="Print a JSON object on each line.")

    def handle(self, *args: Any, using: str, limit: int | None, **options: Any) -> None:
        if limit is not None and limit < 1:
            raise CommandError("--limit must be at least 1.")
        chosen = selection(options["owner"], options["since"], options["until"])
        listed = islice(indexes[using].select(chosen), limit)
        for line in map(_line, listed) if options["json"] else self.table(listed):
            self.stdout.write(line)

    def table(self, listed: Iterator[Summary]) -> Iterator[str]:
        first = [_cells(it) for it in islice(listed, _MEASURED)]
        if not first:
            return
        table = zip(_HEADINGS, *first, strict=True)
        widths = [min(max(map(terminal.width_of, column)), _WIDEST) for column in table][:-1]
        columns = terminal.columns_of(self.stdout)
        room = columns and max(columns - sum(widths) - 2 * len(widths), _NARROWEST_TITLE)
        bold = self.style.MIGRATE_LABEL if columns else str
        yield bold(_row(_HEADINGS, widths, room))
        for cells in chain(first, map(_cells, listed)):
            yield _row(cells, widths, room)


def _cells(listed: Summary) -> tuple[str, ...]:
    record = listed.record
    return (
        terminal.quoted(record.conversation_id),
        terminal.time_text(record.updated),
        "-" if record.runs is None else f"{record.runs:,}",
        f"{listed.bytes:,}",
        "-" if record.owner is None else terminal.quoted(record.owner),
        terminal.time_text(record.expires),
        terminal.harmless(record.title),
    )


def _row(cells: Iterable[str], widths: list[int], room: int | None) -> str:
    """The cells in columns. A wider cell shifts the rest, because an id is never cut."""
    *cells, title = cells
    row = "  ".join(map(terminal.padded, cells, widths))
    return f"{row}  {title if room is None else terminal.shortened(title, room)}".rstrip()


def _line(listed: Summary) -> str:
    sizes = {"runs": listed.record.runs, "bytes": listed.bytes}
    return json.dumps({**terminal.identity(listed.record), **sizes})
