import csv
import json
import sys
from pathlib import Path
from typing import IO, Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import indexes
from conversation_memory.archive import (
    LONGEST,
    POLICIES,
    Archive,
    Chats,
    Counts,
    Restore,
    archive_key,
    reading,
)
from conversation_memory.archive.chat_exports import READERS
from conversation_memory.encryption.keyring import Keyring
from conversation_memory.exceptions import counted
from conversation_memory.management.command import MemoryCommand
from conversation_memory.management.exit_codes import Exit
from conversation_memory.management.terminal import examples, quoted


class Command(MemoryCommand):
    help = (
        "Restore the conversations of an archive, after checking all of it. Identical "
        "conversations are skipped, so an interrupted restore can be run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="Archive to restore; '-' is stdin.")
        self.add_using(parser)
        parser.add_argument(
            "--key",
            metavar="ID=env:NAME",
            help="The key of an encrypted archive, if it is not one of ENCRYPTION of the alias.",
        )
        self.add_restoring(parser)
        parser.add_argument(
            "--format",
            choices=["archive", *READERS],
            default="archive",
            help="archive, or a chat export with messages or turns (default: archive).",
        )
        parser.add_argument(
            "--ignore-expiry",
            action="store_true",
            help="Restore expired conversations too, and all of them without an expiry.",
        )

    def add_restoring(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--on-conflict",
            choices=POLICIES,
            default="fail",
            help="Handling of a conversation that is stored with different content: fail before "
            "anything is written (default), skip it, replace it, or keep the newest.",
        )
        parser.add_argument(
            "--owner-map",
            metavar="FILE",
            help="Old and new owners: a JSON object, or CSV with two columns.",
        )
        help = "Only report what would be restored."
        parser.add_argument("--dry-run", action="store_true", help=help)

    def handle(self, *args: Any, file: str, using: str, dry_run: bool, **options: Any) -> None:
        self.after_interrupt = "Nothing was written."
        index, owners = indexes[using], owner_map(options["owner_map"])
        with reading(sys.stdin.buffer if file == "-" else file) as (stream, name):
            keyring = archive_key(options["key"]) if options["key"] else index.keyring
            most = index.settings.max_bytes
            source = self.verified(stream, name, options["format"], most, keyring)
            restore = Restore(
                index,
                source,
                on_conflict=options["on_conflict"],
                ignore_expiry=options["ignore_expiry"],
                owners=owners,
            )
            counts = self.load(restore, dry_run=dry_run)
        if self.verbosity:
            self.summarise(using, counts, "would restore" if dry_run else "restored")
        self.complain(counts)

    def verified(
        self,
        stream: IO[bytes],
        name: str,
        format: str,
        max_bytes: int,
        keyring: Keyring | None = None,
    ) -> Archive | Chats:
        source: Archive | Chats
        longest = max(LONGEST, 2 * max_bytes)
        if format == "archive":
            source = Archive(stream, name, longest)
            source.keyring = keyring
        else:
            source = Chats(stream, name, longest, format)
        with self.progress("Checking", total=source.size, unit="B") as show:
            source.verify(show)
        return source

    def load(self, restore: Restore, *, dry_run: bool, unit: str = "B") -> Counts:
        doing, source = "Comparing" if dry_run else "Restoring", restore.source
        with self.progress(doing, total=source.size, unit=unit) as show:

            def progress(counts: Counts) -> None:
                if not dry_run and (counts.new or counts.replaced):
                    self.after_interrupt = (
                        "Every restored conversation is complete. Run it again to continue."
                    )
                show(source.position, f"{counts.new:,} new")

            return (restore.plan if dry_run else restore.run)(progress=progress)

    def summarise(self, alias: str, counts: Counts, done: str) -> None:
        self.stdout.write(
            f"{alias}: {done} {counted(counts.new + counts.replaced, 'conversation')} "
            f"({counts.new:,} new, {counts.replaced:,} replaced); {counts.same:,} unchanged, "
            f"{counts.skipped:,} skipped, {counts.expired:,} expired"
        )
        if counts.grown:
            self.stdout.write(
                f"{alias}: {done} further messages of {counted(counts.grown, 'open run')}"
            )
        for kind in ("skipped", "replaced"):
            if getattr(counts, kind) and self.verbosity > 1:
                self.stderr.write(f"{kind.title()}: {_examples(counts, kind)}.")
        if counts.unreadable:
            names = _examples(counts, "unreadable")
            self.warn(f"Unreadable, restored as dumped: {counts.unreadable:,} ({names}).")
        if counts.owners:
            owners = ", ".join(f"{quoted(name)} ({n:,})" for name, n in counts.owners.items())
            self.warn(f"Owners that are not in the map, and were not changed: {owners}.")

    def complain(self, counts: Counts) -> None:
        if counts.conflicts - counts.replaced - counts.skipped - counts.kept:
            self.warn(
                f"Stored with different content: {counts.conflicts:,} "
                f"({_examples(counts, 'conflicts')}). See --on-conflict."
            )
        if counts.kept:
            raise CommandError(
                f"Not replaced, because the stored value is unreadable: {counts.kept:,} "
                f"({_examples(counts, 'kept')}). Delete it first.",
                returncode=Exit.FAILED,
            )


def _examples(counts: Counts, kind: str) -> str:
    return examples(counts.examples.get(kind, []), getattr(counts, kind))


def owner_map(path: str | None) -> dict[str, str] | None:
    """Old owner -> new owner, "" for none."""
    if path is None:
        return None
    try:
        text = Path(path).read_text("utf-8-sig")  # spreadsheets begin a CSV file with a BOM
        pairs = _from_json(text) if text.lstrip().startswith("{") else _from_csv(text)
        owners = dict(pairs)
        if len(owners) < len(pairs):
            raise ValueError("an owner is listed twice")
    except (ValueError, RecursionError) as error:
        text = f"{path!r} is not an owner map: {error}."
        raise CommandError(text, returncode=Exit.FILE) from None
    return owners


def _from_json(text: str) -> list[tuple[str, str]]:
    pairs = json.loads(text, object_pairs_hook=list)
    if not all(isinstance(new, str | int | None) for _, new in pairs):
        raise ValueError("an owner must be a string or a number")
    return [(old, "" if new is None else str(new)) for old, new in pairs]


def _from_csv(text: str) -> list[tuple[str, str]]:
    rows = [row for row in csv.reader(text.splitlines()) if row]
    if any(len(row) != 2 for row in rows):
        raise ValueError("each line must have two columns")
    if rows and rows[0] == ["old", "new"]:  # a heading
        del rows[0]
    return [(old.strip(), new.strip()) for old, new in rows]
