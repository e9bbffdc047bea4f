"""Messages that wait for a reply, stored in the conversation itself.

The view appends the run immediately, with an empty output and the status "pending" in its meta, and
a task completes it. If the worker dies, the message is still stored and the page offers to try
again. (The output is not null, because Griptape cannot read that.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from conversation_memory import RedisConversationMemoryDriver, Run
from conversation_memory.exceptions import ConversationConflict

ATTEMPTS = 20


def pending_run(text: str, run_id: str) -> Run:
    return Run(text, "", {"status": "pending", "asked": timezone.now().isoformat()}, id=run_id)


def status(run: Run) -> str:
    return str((run.meta or {}).get("status", ""))


def asked(run: Run) -> datetime | None:
    value = (run.meta or {}).get("asked")
    try:
        return parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        return None


def is_overdue(run: Run) -> bool:
    """True if the reply has taken so long that its worker must have died."""
    since = asked(run)
    patience = timedelta(seconds=settings.CHAT_PATIENCE_SECONDS)
    return status(run) == "pending" and (since is None or timezone.now() - since > patience)


def is_waiting(run: Run) -> bool:
    return status(run) == "pending" and not is_overdue(run)


def find(runs: Iterable[Run], run_id: str) -> Run | None:
    return next((run for run in runs if run.id == run_id), None)


def complete(driver: RedisConversationMemoryDriver, run_id: str, output: Any, outcome: str) -> None:
    """Fill in the reply, unless another worker has done so."""

    def fill_in(run: Run) -> bool:
        if status(run) != "pending":
            return False
        run.output, run.meta = output, {**run.meta, "status": outcome}
        return True

    change(driver, run_id, fill_in)


def reopen(driver: RedisConversationMemoryDriver, run_id: str) -> None:
    """Set a failed or overdue message to pending again, for another attempt at a reply."""

    def wait_again(run: Run) -> bool:
        if status(run) != "failed" and not is_overdue(run):
            return False
        run.output = ""
        run.meta = {**run.meta, "status": "pending", "asked": timezone.now().isoformat()}
        return True

    change(driver, run_id, wait_again)


def change(driver: RedisConversationMemoryDriver, run_id: str, edit: Callable[[Run], bool]) -> None:
    """Edit one run without overwriting concurrent writes."""
    for attempt in range(1, ATTEMPTS + 1):
        conversation = driver.read()
        run = find(conversation.runs, run_id)
        if run is None or not edit(run):
            return
        try:
            driver.store(conversation.runs, conversation.metadata, revision=conversation.revision)
            return
        except ConversationConflict:
            if attempt == ATTEMPTS:
                raise
