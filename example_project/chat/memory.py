"""Questions that wait for a reply: open runs, which Redis keeps beside the conversation.

A worker that dies loses neither the question nor the text so far; `take_up()` finds another one.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import NAMESPACE_OID, uuid5

from django.conf import settings
from django.core.cache import cache
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from conversation_memory import RedisConversationMemoryDriver, Run
from conversation_memory.replies import OpenRun
from example_project.chat import tasks

# What a worker has, or may have soon.
UNDER_WAY = ("waiting", "claimed", "lost")


def ask(driver: RedisConversationMemoryDriver, text: str, run_id: str) -> None:
    """Keep the question, then enqueue its reply.

    Both may be repeated, as the form is sent again if Redis or this process failed in between: a
    question is kept once, and of two workers one writes the reply.
    """
    begin(driver, text, run_id)
    enqueue(driver, run_id)


def try_again(driver: RedisConversationMemoryDriver, run_id: str) -> None:
    """Ask the question of a failed or stopped reply again, in a run of its own."""
    run = find(driver.open_runs(), run_id)
    if run is None or run.state in UNDER_WAY:
        return
    # Always the same id, so that two clicks ask once.
    again = uuid5(NAMESPACE_OID, run_id).hex
    begin(driver, run.input, again)
    driver.discard(run_id)
    enqueue(driver, again)


def begin(driver: RedisConversationMemoryDriver, question, run_id: str) -> None:
    driver.begin(question, meta={"asked": timezone.now().isoformat()}, run_id=run_id)


def enqueue(driver: RedisConversationMemoryDriver, run_id: str) -> None:
    tasks.reply.enqueue(driver.conversation_id, driver.owner, run_id)


def take_up(driver: RedisConversationMemoryDriver, runs: Iterable[OpenRun]) -> None:
    """Enqueue the replies whose worker has died, or never came."""
    for run in runs:
        # Pages ask often: one task in a while is enough.
        if is_abandoned(run) and cache.add(f"taken-up-{run.run_id}", True, patience()):
            enqueue(driver, run.run_id)


def is_abandoned(run: OpenRun) -> bool:
    since = run.changed or run.begun
    is_late = since is None or timezone.now() - since > timedelta(seconds=patience())
    return run.state == "lost" or (run.state == "waiting" and is_late)


def patience() -> float:
    return settings.CHAT_PATIENCE_SECONDS


def find(runs: Iterable[OpenRun], run_id: str) -> OpenRun | None:
    return next((run for run in runs if run.run_id == run_id), None)


def asked(run: Run | OpenRun) -> datetime | None:
    value = (run.meta or {}).get("asked")
    try:
        return parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        return None
