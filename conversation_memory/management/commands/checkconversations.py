import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser

from conversation_memory import indexes
from conversation_memory.check import Report
from conversation_memory.exceptions import counted
from conversation_memory.management.command import MemoryCommand
from conversation_memory.management.exit_codes import Exit
from conversation_memory.management.terminal import examples


class Command(MemoryCommand):
    help = (
        "Find unreadable conversations, and records and keys that do not match their "
        "conversations; --fix repairs derived data. Returns 1 if there are problems."
    )
    after_interrupt = "Repairs that were made are kept; run it again for the rest."

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_using(parser)
        parser.add_argument(
            "--fix",
            action="store_true",
            help="Repair recency indexes, and derived fields of records. Documents, runs, owners, "
            "titles and times are not changed.",
        )
        parser.add_argument(
            "--examples",
            type=int,
            default=5,
            metavar="N",
            help="Number of names to print for each kind of problem (default: 5).",
        )
        parser.add_argument("--json", action="store_true", help="Print the report as JSON.")

    def handle(self, *args: Any, using: str, fix: bool, **options: Any) -> None:
        index = indexes[using]
        with self.progress("Checking", total=self.total(index)) as show:
            report = index.check(
                fix=fix,
                examples=options["examples"],
                progress=lambda report: show(report.seen, f"{report.left:,} wrong"),
            )
        if options["json"]:
            problems = [asdict(problem) for problem in report.problems.values()]
            found = {"seen": report.seen, "left": report.left, "problems": problems}
            self.stdout.write(json.dumps(found))
        else:
            self.summarise(index.alias, report, fix=fix)
        if report.left:
            text = f"{counted(report.left, 'problem')} {'left' if fix else 'found'}."
            raise CommandError(text, returncode=Exit.FAILED)

    def summarise(self, alias: str, report: Report, *, fix: bool) -> None:
        self.say(f"{alias}: {counted(report.seen, 'conversation')} checked.")
        for problem in report.problems.values():
            repaired = f", {problem.found - problem.left:,} repaired" if fix else ""
            kind = problem.kind[0].upper() + problem.kind[1:]
            names = examples(problem.examples, problem.found)
            self.say(f"{kind}: {problem.found:,}{repaired} (such as {names})")
        if not report.problems:
            self.say("No problems found.")
