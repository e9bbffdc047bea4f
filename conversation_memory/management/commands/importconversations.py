from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import indexes
from conversation_memory.archive import Restore
from conversation_memory.exceptions import counted
from conversation_memory.imports import PEERS, PeerSource
from conversation_memory.management.exit_codes import Exit
from conversation_memory.management.terminal import examples

from .loadconversations import Command as LoadCommand
from .loadconversations import owner_map


class Command(LoadCommand):
    help = (
        "Import the conversations that another library keeps in Redis. Nothing is changed there. "
        "Identical conversations are skipped, so an interrupted import can be run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--from", dest="peer", choices=PEERS, required=True, help="The library to import from."
        )
        parser.add_argument("--url", required=True, help="The Redis to import from, as redis://…")
        parser.add_argument(
            "--prefix", help="What its keys begin with, if that is not the usual one."
        )
        self.add_using(parser)
        self.add_restoring(parser)
        parser.add_argument("--owner", help="The owner of conversations that have none there.")

    def handle(self, *args: Any, using: str, dry_run: bool, **options: Any) -> None:
        self.after_interrupt = "Nothing was written."
        index, owners = indexes[using], owner_map(options["owner_map"])
        source = self.source(**options)
        try:
            with self.progress("Reading", unit="conversations") as show:
                source.verify(show)
            restore = Restore(index, source, on_conflict=options["on_conflict"], owners=owners)
            counts = self.load(restore, dry_run=dry_run, unit="conversations")
        finally:
            source.close()
        if self.verbosity:
            self.summarise(using, counts, "would import" if dry_run else "imported")
        self.complain(counts)
        self.complain_of(source)

    def source(self, *, peer: str, url: str, **options: Any) -> PeerSource:
        prefix = options["prefix"]
        if PEERS[peer].prefix is None and prefix is None:
            raise CommandError(
                f"The keys of {peer} have no usual prefix. Name yours with --prefix, or take all "
                "keys of that Redis with --prefix ''."
            )
        try:
            return PeerSource(peer, url, prefix=prefix, owner=options["owner"])
        except ValueError as error:
            raise CommandError(str(error)) from None

    def complain_of(self, source: PeerSource) -> None:
        unreadable = source.unreadable
        if not unreadable:
            if not source.size:
                self.warn("No conversations were found. See --prefix.")
            return
        for id, reason in [*unreadable.items()][:10]:
            self.warn(f"Not imported: {id!r}: {reason}.")
        many = counted(len(unreadable), "conversation")
        names = examples([*unreadable][:10], len(unreadable))
        text = f"Not readable, and not imported: {many} ({names})."
        raise CommandError(text, returncode=Exit.FAILED)
