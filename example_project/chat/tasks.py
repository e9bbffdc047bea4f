from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, suppress

from conversation_memory import Run, indexes
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
        write(reply, driver.load()[0])


def write(reply: Reply, earlier: Sequence[Run]) -> None:
    try:
        with closing(respond(earlier, reply.input.text)) as pieces:
            for piece in pieces:
                # An empty piece is a sign of life.
                reply.write(piece) if piece else reply.flush()
    except ResponderError as error:
        reply.fail(str(error))
