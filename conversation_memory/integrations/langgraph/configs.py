"""Configs of LangGraph, which name a thread, one of its checkpoints, and an owner."""

from __future__ import annotations

from langchain_core.runnables import RunnableConfig

from ...keys import decode, encode
from ...layouts import ConversationRef
from .checkpoints import CheckpointName

OWNER = "owner"  # names the owner of the thread


def where(config: RunnableConfig) -> CheckpointName:
    """The checkpoint that a config names; without an id, the newest of the namespace."""
    conf = config["configurable"]
    namespace, id = conf.get("checkpoint_ns") or "", conf.get("checkpoint_id") or ""
    return CheckpointName(encode(namespace), encode(id))


def without_owner(config: RunnableConfig) -> RunnableConfig:
    # The owner is that of the conversation, which may get another one.
    conf = {name: one for name, one in config["configurable"].items() if name != OWNER}
    return {**config, "configurable": conf}


def naming(
    config: RunnableConfig | None, ref: ConversationRef, name: CheckpointName
) -> RunnableConfig:
    """The config of a checkpoint that `config` has led to."""
    conf = (config or {}).get("configurable", {})
    return {
        "configurable": {
            **({OWNER: conf[OWNER]} if OWNER in conf else {}),
            "thread_id": conf.get("thread_id", decode(ref.id)),
            "checkpoint_ns": decode(name.namespace),
            "checkpoint_id": decode(name.id),
        }
    }
