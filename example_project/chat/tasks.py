from __future__ import annotations

from contextlib import closing, suppress
from typing import Any

from conversation_memory import RedisConversationMemoryDriver, indexes
from conversation_memory.exceptions import ReplyError
from conversation_memory.replies import Reply
from example_project.chat.responders import ResponderError, respond

try:
    from django.tasks import task
except ImportError:  # Django 5.2
    from django_tasks import task


@task
def reply(conversation_id: str, owner: str, run_id: str) -> None:
    """Write the reply to a question. It is safe to run twice, also at once."""
    driver = indexes["default"].driver(conversation_id, owner=owner)
    # Another worker has it, or it was stopped.
    with suppress(ReplyError), driver.reply(run_id) as reply:
        write(reply, driver)


def write(reply: Reply, driver: RedisConversationMemoryDriver) -> None:
    meta: dict[str, Any] = {}
    try:
        with closing(respond(driver, reply.input.text)) as pieces:
            for piece in pieces:
                if isinstance(piece, dict):
                    meta |= piece
                else:  # an empty piece is a sign of life
                    reply.write(piece) if piece else reply.flush()
    except ResponderError as error:
        reply.fail(str(error))
    else:
        reply.finish(meta=meta or None)
