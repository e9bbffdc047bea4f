"""Chat exports with `messages`, as OpenAI and most others write them: to runs, and back.

A message of a user begins a run, and the last text of the assistant is its output. Whatever more
there is (system prompts, tool calls and their results, parts that are no text) stays in the `meta`
of the run as it was, and is written again unless the run was changed since.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from ..runs import Artifact, Run
from . import times
from .format import Entry

_KNOWN = {"id", "conversation_id", "owner", "title", "created", "updated", "metadata"}
_LISTS = {"messages", "turns"}
_EXPORT = "export"  # the key of the metadata for what a line has beside

Message = dict[str, Any]


class Exchange(NamedTuple):
    """What becomes a run."""

    input: str
    output: str
    meta: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Chat:
    """A line of an export."""

    exchanges: list[Exchange]
    metadata: dict[str, Any]
    owner: str | int | None
    title: str
    created: Any
    updated: Any

    def runs(self, id: bytes) -> list[Run]:
        """The runs, with the same ids each time."""
        return [_run(id, number, exchange) for number, exchange in enumerate(self.exchanges)]


def chat(data: dict[str, Any]) -> Chat:
    """Raises ValueError."""
    messages = data.get("messages")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise ValueError("it has no list of messages")
    return header(data, [_exchange(group) for group in _groups(messages)])


def header(data: dict[str, Any], exchanges: list[Exchange]) -> Chat:
    """What stands beside the messages, or the turns."""
    metadata, owner = data.get("metadata") or {}, data.get("owner")
    if not isinstance(metadata, dict):
        raise ValueError("its metadata is no JSON object")
    if not isinstance(owner, str | int | None):
        raise ValueError("its owner is neither a text nor a number")
    if others := {key: data[key] for key in data if key not in _KNOWN | _LISTS}:
        metadata = {**metadata, _EXPORT: others}
    title, updated = str(data.get("title") or ""), data.get("updated")
    created = data.get("created", updated)
    return Chat(exchanges, metadata, owner or None, title, created, updated or created)


def line(entry: Entry) -> bytes:
    """The line of a conversation."""
    document = json.loads(entry.value)
    metadata = dict(document.get("metadata") or {})
    others = metadata.pop(_EXPORT, {})
    facts = entry.facts
    found = {
        "id": entry.id.decode("utf-8", "replace"),
        "owner": facts.owner and facts.owner.decode("utf-8", "replace"),
        "title": facts.title.decode("utf-8", "replace"),
        "created": facts.created and times.iso(facts.created),
        "updated": facts.updated and times.iso(facts.updated),
        "metadata": metadata,
    }
    runs = [Run.from_dict(run) for run in document.get("runs") or []]
    beside = {name: value for name, value in found.items() if value}
    said = [message for run in runs for message in _messages(run)]
    others = others if isinstance(others, dict) else {_EXPORT: others}
    return json.dumps({**others, **beside, "messages": said}).encode() + b"\n"


def _groups(messages: list[Message]) -> Iterator[list[Message]]:
    group: list[Message] = []
    for message in messages:
        if message.get("role") == "user" and any(_is_said(one) for one in group):
            yield group
            group = []
        group.append(message)
    if group:
        yield group


def _is_said(message: Message) -> bool:
    return message.get("role") not in ("system", "developer")


def _exchange(group: list[Message]) -> Exchange:
    plain = Exchange(_text_of(group, "user"), _text_of(group, "assistant"))
    return (
        plain
        if _said(plain.input, plain.output) == group
        else plain._replace(meta={"messages": group})
    )


def _text_of(group: list[Message], role: str) -> str:
    """The last text that someone of that role said."""
    texts = [_text(one.get("content")) for one in group if one.get("role") == role]
    return next((text for text in reversed(texts) if text), "")


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _said(question: Any, answer: Any) -> list[Message]:
    """The messages of a question and an answer, without one that is empty."""
    pairs = (("user", question), ("assistant", answer))
    return [{"role": role, "content": content} for role, content in pairs if content]


def _run(conversation_id: bytes, number: int, exchange: Exchange) -> Run:
    def id_of(part: str) -> str:
        return sha256(b"%b\n%d %b" % (conversation_id, number, part.encode())).hexdigest()[:32]

    input, output = (
        Artifact(text, id=id_of(part))
        for text, part in ((exchange.input, "input"), (exchange.output, "output"))
    )
    return Run(input, output, exchange.meta, id=id_of("run"))


def _messages(run: Run) -> list[Message]:
    kept = (run.meta or {}).get("messages") if isinstance(run.meta, dict | None) else None
    if isinstance(kept, list) and all(isinstance(one, dict) for one in kept):
        texts = (_text_of(kept, "user"), _text_of(kept, "assistant"))
        if texts == (run.input.text, run.output.text):
            return kept
    return _said(_content(run.input), _content(run.output))


def _content(artifact: Artifact) -> Any:
    """A text, or a list of parts if there is an image among them."""
    parts = [_part(item) for item in artifact.items or [artifact]]
    return parts if any(part["type"] != "text" for part in parts) else artifact.text


def _part(artifact: Artifact) -> Message:
    if artifact.type == "ImageArtifact" and isinstance(artifact.value, str):
        url = f"data:{artifact.mime_type};base64,{artifact.value}"
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "text", "text": artifact.text}
