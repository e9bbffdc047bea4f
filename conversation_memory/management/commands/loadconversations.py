from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import indexes
from conversation_memory.archive import LONGEST, POLICIES, Archive, Chats, Counts, Restore, reading
from conversation_memory.archive.chat_exports import READERS
from conversation_memory.management.base import MemoryCommand
from conversation_memory.management.exit_codes import Exit
from conversation_memory.management.ownermap import owner_map
from conversation_memory.management.terminal import quoted


class Command(MemoryCommand):
    help = (
        "Restore the conversations of an archive. All of it is checked first; what is there "
        "already is left, so that a run that was interrupted is simply run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="An archive; '-' is stdin.")
        self.add_using(parser, default="default", help="Alias of the index (default: 'default').")
        parser.add_argument(
            "--format",
            choices=["archive", *READERS],
            default="archive",
            help="archive, or a chat export with messages or turns (default: archive).",
        )
        parser.add_argument(
            "--on-conflict",
            choices=POLICIES,
            default="fail",
            help="What to do with a conversation that is there with another content: fail before "
            "anything is written (default), skip it, replace it, or keep the newest.",
        )
        parser.add_argument(
            "--ignore-expiry",
            action="store_true",
            help="Restore without deadlines, also what is past its own.",
        )
        parser.add_argument(
            "--owner-map",
            metavar="FILE",
            help="Old and new owners, as a JSON object or as CSV with two columns.",
        )
        self.add_dry_run(parser, help="Only say what would be done.")

    def handle(
        self,
        *args: Any,
        file: str,
        using: str,
        format: str,
        on_conflict: str,
        ignore_expiry: bool,
        owner_map: str | None,
        dry_run: bool,
        **options: Any,
    ) -> None:
        self.after_interrupt = "Nothing was written."
        index, owners = indexes[using], self.owners(owner_map)
        longest = max(LONGEST, 2 * index.settings.max_bytes)
        with reading(sys.stdin.buffer if file == "-" else file) as (stream, name):
            source: Archive | Chats = (
                Archive(stream, name, longest)
                if format == "archive"
                else Chats(stream, name, longest, format)
            )
            with self.progress("Checking", total=source.size, unit="B", scaled=True) as show:
                source.verify(show)
            restore = Restore(
                index,
                source,
                on_conflict=on_conflict,
                ignore_expiry=ignore_expiry,
                owners=owners,
            )
            counts = self.load(restore, source, dry_run=dry_run)
        self.say(using, counts, "to restore" if dry_run else "restored")

    def owners(self, path: str | None) -> dict[str, str] | None:
        try:
            return None if path is None else owner_map(path)
        except ValueError as error:
            raise CommandError(str(error), returncode=Exit.FILE) from None

    def load(self, restore: Restore, source: Archive | Chats, *, dry_run: bool) -> Counts:
        doing = "Comparing" if dry_run else "Restoring"
        with self.progress(doing, total=source.size, unit="B", scaled=True) as show:

            def progress(counts: Counts) -> None:
                if counts.new or counts.replaced:
                    self.after_interrupt = (
                        "What was restored is complete. Run it again: it goes on where it stopped."
                    )
                show(source.position, f"{counts.new:,} new")

            if dry_run:
                return restore.plan(progress=lambda c: show(source.position, f"{c.new:,} new"))
            return restore.run(progress=progress)

    def say(self, alias: str, counts: Counts, what: str) -> None:
        if self.verbosity:
            self.stdout.write(
                f"{alias}: {counts.new:,} new and {counts.replaced:,} replaced {what}; "
                f"{counts.same:,} the same, {counts.skipped:,} skipped, {counts.expired:,} expired"
            )
            self.say_examples(counts)
        if counts.conflicts - counts.replaced - counts.skipped - counts.kept:
            self.stderr.write(
                f"There already, with another content: {counts.conflicts:,} "
                f"({self.named(counts, 'conflicts')}). See --on-conflict.",
                self.style.WARNING,
            )
        if counts.kept:
            raise CommandError(
                f"Not replaced, as what is stored cannot be read and nothing overwrites that: "
                f"{counts.kept:,} ({self.named(counts, 'kept')}). Delete it first.",
                returncode=Exit.FAILED,
            )

    def say_examples(self, counts: Counts) -> None:
        for kind, words in (("skipped", "Skipped"), ("replaced", "Replaced")):
            if getattr(counts, kind) and self.verbosity > 1:
                self.stderr.write(f"{words}: {self.named(counts, kind)}.")
        if counts.unreadable:
            self.stderr.write(
                f"Restored as they were, though no conversations: {counts.unreadable:,} "
                f"({self.named(counts, 'unreadable')}).",
                self.style.WARNING,
            )
        if counts.owners:
            owners = ", ".join(f"{quoted(name)} ({n:,})" for name, n in counts.owners.items())
            self.stderr.write(
                f"Owners that are not in the map, and stay as they are: {owners}.",
                self.style.WARNING,
            )

    def named(self, counts: Counts, kind: str) -> str:
        ids = counts.examples.get(kind, [])
        more = ", …" if getattr(counts, kind) > len(ids) else ""
        return ", ".join(map(quoted, ids)) + more
