"""The initial users and conversations of the site, and conversations from a file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model

from conversation_memory import ConversationIndex, Run
from conversation_memory.exceptions import ConversationConflict, ConversationNotFound
from example_project.chat.dialogues import Dialogue
from example_project.chat.samples import Sample

# name -> password; the last one can also use the admin
USERS = {"ada": "lovelace", "grace": "hopper", "katherine": "johnson"}
STAFF = "katherine"


def create_users() -> dict[str, Any]:
    """The users by name; existing ones are not changed."""
    return {name: create_user(name, password) for name, password in USERS.items()}


def create_user(name: str, password: str) -> Any:
    users = get_user_model().objects
    if user := users.filter(username=name).first():
        return user
    create = users.create_superuser if name == STAFF else users.create_user
    return create(name, password=password, first_name=name.title())


def store_samples(index: ConversationIndex, samples: Iterable[Sample], owners: dict) -> int:
    """Store each sample for its user in `owners`. Returns the number of new ones."""
    stored = 0
    for sample in samples:
        stored += store_new(
            index, sample.conversation_id, owners[sample.owner], sample.runs, {}, sample.title
        )
    return stored


def store_oddities(index: ConversationIndex) -> None:
    """Store conversations without an owner as other programs may leave them, for the admin."""
    artifact = {"type": "HologramArtifact", "value": {"depth": 3}, "colours": ["red", "blue"]}
    run = {"type": "Run", "id": "odd-1", "input": {"type": "TextArtifact", "value": "Project it."}}
    odd = json.dumps({"runs": [{**run, "output": artifact}], "metadata": {"source": "lab"}})
    for id, document in (("sample-odd", odd), ("sample-damaged", odd[: len(odd) // 2])):
        index.driver(id).client.hsetnx(index.shard_of(id).name, id, document)


def index_oddities(index: ConversationIndex) -> None:
    """Make them searchable, where there is RediSearch: other programs write no documents."""
    if index.search_state().answers:
        index.reindex(failure=lambda error: None)  # the damaged one is there to be looked at


def store_dialogue(index: ConversationIndex, dialogue: Dialogue, owner: Any) -> bool:
    runs = [
        Run(turn["user"], turn["assistant"], id=f"{dialogue.conversation_id}-{number}")
        for number, turn in enumerate(dialogue.turns, 1)
    ]
    return store_new(
        index, dialogue.conversation_id, owner, runs, dialogue.metadata, dialogue.title
    )


def store_new(
    index: ConversationIndex,
    conversation_id: str,
    owner: Any,
    runs: list[Run],
    metadata: dict[str, Any],
    title: str,
) -> bool:
    """Store a conversation unless it exists; nothing is overwritten."""
    driver = index.driver(conversation_id, owner=owner)
    found = driver.read()
    if found.exists:
        return False
    try:
        driver.store(runs, metadata, revision=found.revision)
    except (ConversationConflict, ConversationNotFound):
        return False
    driver.set_title(title)
    return True
