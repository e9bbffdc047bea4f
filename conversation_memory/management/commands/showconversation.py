import json
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import ConversationIndex, ConversationState, Run, indexes
from conversation_memory.exceptions import ConversationCorrupt, ConversationNotFound, counted
from conversation_memory.management.command import MemoryCommand
from conversation_memory.management.exit_codes import Exit
from conversation_memory.management.terminal import (
    columns_of,
    harmless,
    identity,
    quoted,
    time_text,
    wrapped,
)
from conversation_memory.messages import Step, steps_of
from conversation_memory.messages.steps import readable
from conversation_memory.messages.turns import without_messages
from conversation_memory.records import Record


class Command(MemoryCommand):
    help = "Print a conversation in readable form. This does not extend its expiry."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", help="Conversation id.")
        self.add_using(parser)
        parser.add_argument("--last", type=int, metavar="N", help="Only the last N runs.")
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="Print one JSON object.")
        form.add_argument(
            "--raw",
            action="store_true",
            help="Print the stored bytes, readable or not; in layout 'list', one run per line.",
        )

    def handle(self, *args: Any, id: str, using: str, last: int | None, **options: Any) -> None:
        if last is not None and last < 1:
            raise CommandError("--last must be at least 1.")
        self.alias, index = using, indexes[using]
        if options["raw"]:
            return self.write_raw(index, id)
        try:
            conversation = index.inspect(id)
            first = 0 if last is None else max(0, len(conversation.runs) - last)
            form = _json if options["json"] else self.page
            for line in form(conversation, first):
                self.stdout.write(line)
        except ConversationCorrupt as error:
            text = f"{error} --raw prints its {counted(len(error.raw), 'byte')}."
            raise CommandError(harmless(text), returncode=Exit.UNREADABLE) from error
        except RecursionError:
            text = f"Conversation {id!r} is nested too deeply to show; --raw prints it."
            raise CommandError(harmless(text), returncode=Exit.UNREADABLE) from None

    def write_raw(self, index: ConversationIndex, id: str) -> None:
        stored = index.raw(id)
        if not stored:
            raise ConversationNotFound(alias=index.alias, index=index.name, conversation_id=id)
        raw = b"\n".join(stored)
        buffer: Any = None if self.stdout.isatty() else getattr(self.stdout, "buffer", None)
        if buffer is None:
            self.stdout.write(harmless(raw.decode("utf-8", "backslashreplace"), keep="\n\t"))
        else:
            buffer.write(raw)

    def page(self, conversation: ConversationState, first: int) -> Iterator[str]:
        columns = columns_of(self.stdout)
        bold = self.style.MIGRATE_HEADING if columns else str
        count = len(conversation.runs)
        yield bold(f"Conversation {quoted(conversation.conversation_id)} of {self.alias!r}")
        for name, value in _facts(conversation.record, count):
            yield from wrapped(f"{name:<9} {value}", columns, "")
        if conversation.metadata:
            yield from wrapped(f"Metadata  {_plain(conversation.metadata)}", columns, "")
        if first:
            yield f"({counted(first, 'earlier run')} not shown)"
        for number, run in enumerate(conversation.runs[first:], first + 1):
            yield ""
            yield bold(f"Run {number:,} of {count:,}  {harmless(run.id)}")
            yield from _transcript(run, columns)


def _facts(record: Record, count: int) -> Iterator[tuple[str, str]]:
    if record.title:
        yield "Title", record.title
    yield "Owner", "-" if record.owner is None else quoted(record.owner)
    yield "Created", time_text(record.created)
    yield "Updated", time_text(record.updated)
    if record.expires:
        yield "Expires", time_text(record.expires)
    yield "Runs", f"{count:,}"


def _transcript(run: Run, columns: int | None) -> Iterator[str]:
    steps = [*steps_of(run)]
    meta = run.meta
    if meta and steps:
        meta = without_messages(meta)
    if meta:
        yield from wrapped(f"Meta: {_plain(meta)}", columns, "")
    for name, artifact in (("Input", run.input), ("Output", run.output)):
        for step in steps if name == "Output" else ():
            yield from _step(step, columns)
        kind = "" if artifact.type in ("TextArtifact", "") else f" ({harmless(artifact.type)})"
        yield f"{name}{kind}:"
        yield from wrapped(artifact.text, columns, "  ")


def _step(step: Step, columns: int | None) -> Iterator[str]:
    if step.kind != "call":
        yield "Reasoning:" if step.kind == "reasoning" else "Said before the answer:"
        yield from wrapped(step.text, columns, "  ")
        return
    yield f"Tool {harmless(step.name)}:"
    yield from wrapped(readable(step.arguments), columns, "  ")
    if step.result is not None:
        yield "Failed:" if step.is_failed else "Result:"
        yield from wrapped(readable(step.result), columns, "  ")


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _json(conversation: ConversationState, first: int) -> Iterator[str]:
    yield json.dumps(
        {
            **identity(conversation.record),
            "count": len(conversation.runs),
            "metadata": conversation.metadata,
            "runs": [run.to_dict() for run in conversation.runs[first:]],
        }
    )
