from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import ConversationIndex, indexes
from conversation_memory.check import Problem, Report
from conversation_memory.management.base import MemoryCommand
from conversation_memory.management.exit_codes import Exit
from conversation_memory.management.terminal import quoted
from conversation_memory.text import counted


class Command(MemoryCommand):
    help = (
        "Look for unreadable conversations, and for records, orders and keys that do not agree "
        "with them; --fix repairs what is derived. Returns 1 if something is wrong."
    )
    after_interrupt = "What was repaired is repaired; run it again for the rest."

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_using(parser, default="default", help="Alias of the index (default: 'default').")
        parser.add_argument(
            "--fix",
            action="store_true",
            help="Repair orders, and what records say of their documents. Documents, runs, owners, "
            "titles and times stay as they are.",
        )
        parser.add_argument(
            "--examples", type=int, default=5, metavar="N", help="Names to print of each kind (5)."
        )
        parser.add_argument("--json", action="store_true", help="The report as one JSON object.")

    def handle(
        self, *args: Any, using: str, fix: bool, examples: int, json: bool, **options: Any
    ) -> None:
        index = indexes[using]
        report = self.inspect(index, fix, examples)
        if json or self.verbosity:
            for line in _json(report) if json else _lines(index, report, fix):
                self.stdout.write(line)
        if report.left:
            faults = f"{counted(report.left, 'fault')} {'left' if fix else 'found'}."
            raise CommandError(faults, returncode=Exit.FAILED)

    def inspect(self, index: ConversationIndex, fix: bool, examples: int) -> Report:
        with self.progress("Checking", total=index.count() if self.verbosity else None) as show:
            return index.check(
                fix=fix,
                examples=examples,
                progress=lambda report: show(report.seen, f"{report.left:,} wrong"),
            )


def _lines(index: ConversationIndex, report: Report, fix: bool) -> Iterator[str]:
    yield f"{index.alias}: {counted(report.seen, 'conversation')} looked at."
    for problem in report.problems.values():
        repaired = f", {problem.found - problem.left:,} repaired" if fix else ""
        kind = problem.kind[0].upper() + problem.kind[1:]
        yield f"{kind}: {problem.found:,}{repaired} (such as {_examples(problem)})"
    if not report.problems:
        yield "Nothing is wrong."


def _examples(problem: Problem) -> str:
    more = ", ..." if problem.found > len(problem.examples) else ""
    return ", ".join(map(quoted, problem.examples)) + more


def _json(report: Report) -> Iterator[str]:
    problems = [asdict(problem) for problem in report.problems.values()]
    yield json.dumps({"seen": report.seen, "left": report.left, "problems": problems})
