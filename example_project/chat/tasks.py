from __future__ import annotations

from itertools import takewhile

from conversation_memory import indexes
from example_project.chat import memory
from example_project.chat.responders import ResponderError, get_responder

try:
    from django.tasks import task
except ImportError:  # Django 5.2
    from django_tasks import task


@task
def reply(conversation_id: str, owner: str, run_id: str) -> None:
    """Write the reply to a pending message. It is safe to run twice."""
    driver = indexes["default"].driver(conversation_id, owner=owner)
    runs, _ = driver.load()
    run = memory.find(runs, run_id)
    if run is None or memory.status(run) != "pending":
        return
    earlier = list(takewhile(lambda other: other.id != run_id, runs))
    try:
        output, outcome = "".join(get_responder()(earlier, run.input.text)), "answered"
    except ResponderError as error:
        output, outcome = {"type": "ErrorArtifact", "value": str(error)}, "failed"
    memory.complete(driver, run_id, output, outcome)
