from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import ConversationIndex, indexes
from conversation_memory.archive import ChatDump, Dump, archive_key
from conversation_memory.collection.selection import Selection
from conversation_memory.exceptions import counted
from conversation_memory.management.command import MemoryCommand, add_selection, selection
from conversation_memory.management.exit_codes import Exit

FORMATS = ("archive", "messages")


class Command(MemoryCommand):
    help = (
        "Write conversations to an archive file or to stdout; loadconversations restores them. "
        "The index can stay in use."
    )
    after_interrupt = "No archive was written; run it again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="*", metavar="id", help="Conversation ids.")
        self.add_using(parser)
        add_selection(parser)
        parser.add_argument(
            "-o",
            "--output",
            default="-",
            metavar="FILE",
            help="Output file, compressed if its name ends in .gz or .zst; '-' is stdout.",
        )
        parser.add_argument(
            "--format",
            choices=FORMATS,
            default="archive",
            help="archive: everything; messages: texts for other programs (default: archive).",
        )

        key = parser.add_mutually_exclusive_group()
        key.add_argument(
            "--key",
            metavar="ID=env:NAME",
            help="Encrypt the archive with this key, that of a recipient: 32 bytes in base64 in an "
            "environment variable (default: the newest key of ENCRYPTION, if the index has any).",
        )
        key.add_argument(
            "--plain",
            action="store_true",
            help="Write an archive of an encrypted index unencrypted.",
        )

    def handle(self, *args: Any, using: str, output: str, **options: Any) -> None:
        chosen = selection(options["owner"], options["since"], options["until"], options["ids"])
        dump = self.dump(indexes[using], chosen, **options)
        with self.writer(output) as write:
            chunks = iter(dump)
            write(next(chunks))  # which selects the conversations: only then is the total known
            with self.progress("Dumping", total=dump.total) as show:
                for chunk in chunks:
                    write(chunk)
                    show(dump.count)
        where = "" if output == "-" else f" to {output}"
        if self.verbosity:
            written = dump.count - (dump.unreadable if isinstance(dump, ChatDump) else 0)
            text = f"{using}: dumped {counted(written, 'conversation')}{where}"
            self.stderr.write(text, self.style.SUCCESS)
        if dump.unreadable and isinstance(dump, ChatDump):
            text = f"Unreadable, not exported: {dump.unreadable:,}."
            raise CommandError(text, returncode=Exit.FAILED)
        if dump.unreadable:
            self.warn(f"Unreadable, dumped as stored: {dump.unreadable:,}.")

    def dump(self, index: ConversationIndex, chosen: Selection, **options: Any) -> ChatDump | Dump:
        key, plain = options["key"], options["plain"]
        if options["format"] == "messages":
            if key or (index.keyring and not plain):
                text = "--format messages writes unencrypted texts; if that is meant, add --plain."
                raise CommandError(text)
            return ChatDump(index, chosen)
        return Dump(index, chosen, keyring=archive_key(key) if key else None, plain=plain)
