"""What models, tools and visitors would have told about the sample runs: the `meta` of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

# name -> seconds per word, and cost of a thousand tokens
MODELS = {"demo-small": (0.02, 0.0002), "demo-large": (0.05, 0.004)}
COMMENTS = ("Too long.", "That is not what I asked.", "Wrong year.")


def facts(run_id: str, question: str, answer: str, calls: list[dict[str, Any]]) -> dict[str, Any]:
    """The same for a run each time."""
    chance = Random(run_id)
    model = chance.choice([*MODELS])
    seconds, cost = MODELS[model]
    used = {"input_tokens": 40 + len(question) // 4, "output_tokens": 1 + len(answer) // 4}
    meta: dict[str, Any] = {
        "model": model,
        "usage": used,
        "latency": round(0.4 + seconds * len(answer.split()), 2),
        "cost": round(sum(used.values()) * cost / 1000, 6),
    }
    if opinion := feedback(chance):
        meta["feedback"] = opinion
    if calls:
        meta["messages"] = list(messages(question, answer, calls))
    return meta


def feedback(chance: Random) -> dict[str, str] | None:
    fate = chance.random()
    if fate < 0.04:
        return {"rating": "down", "comment": chance.choice(COMMENTS)}
    return {"rating": "up"} if fate > 0.85 else None


def messages(question: str, answer: str, calls: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The turn with its tool calls, as OpenAI's chat API has it."""
    yield {"role": "user", "content": question}
    for number, call in enumerate(calls, 1):
        id = f"call-{number}"
        function = {"name": call["tool"], "arguments": json.dumps(call["arguments"])}
        asked = {"id": id, "type": "function", "function": function}
        thought = {"reasoning_content": call["reasoning"]} if "reasoning" in call else {}
        yield {"role": "assistant", "content": None, "tool_calls": [asked], **thought}
        failed = {"is_error": True} if call.get("failed") else {}
        yield {"role": "tool", "tool_call_id": id, "content": call["result"], **failed}
    yield {"role": "assistant", "content": answer}
