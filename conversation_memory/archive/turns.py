"""Chat exports with `turns`, pairs of what a user and an assistant said.

A line is `{"conversation_id": …, "metadata": {…}, "turns": [{"user": …, "assistant": …}]}`.
"""

from __future__ import annotations

from typing import Any

from .chat_messages import Chat, Exchange, header


def chat(data: dict[str, Any]) -> Chat:
    """Raises ValueError."""
    turns = data.get("turns")
    if not isinstance(turns, list):
        raise ValueError("it has no list of turns")
    return header(data, [_exchange(turn) for turn in turns])


def _exchange(turn: Any) -> Exchange:
    if not isinstance(turn, dict):
        raise ValueError("a turn is no JSON object")
    said = [turn.get(who, "") for who in ("user", "assistant")]
    if not all(isinstance(text, str) for text in said):
        raise ValueError("what was said in a turn is not a text")
    return Exchange(*said)
