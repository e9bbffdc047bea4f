"""Turns: the messages of one run, and what a run shows of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Any
from uuid import uuid4
from zlib import crc32

from ..artifacts import Artifact
from ..runs import Run
from ..wire import is_harmless, quick_text
from .formats import FORMATS, OPENAI, Format, begins, checked, is_system
from .parts import (
    SYSTEM,
    Message,
    calls_of,
    data_url,
    dicts,
    inline,
    joined,
    member,
    parts_of,
    said,
    string,
    text_of,
)

# The keys in the meta of a run; the second only if the format is not OpenAI's chat form. The third
# tells quickly that nothing has changed: only of texts, and of messages without long numbers.
MESSAGES = "messages"
FORMAT = "messages_format"
CHECKSUM = "messages_checksum"


@dataclass(frozen=True)
class Turn:
    """The messages from one of a user up to the next, of which the first is at `start`.

    The first turn of a list may lack its question: then it goes on with an earlier one.
    """

    format: Format
    messages: list[Message]
    start: int = 0
    id: str = ""
    is_named: bool = False  # False if the id is a fresh one

    @cached_property
    def chat(self) -> list[Message]:
        return self.format.to_chat(self.messages)

    @property
    def begins(self) -> bool:
        if len(self.messages) == 1:
            return begins(self.chat)
        return any(map(self.format.begins, self.messages))

    @property
    def is_question(self) -> bool:
        """True if nothing follows the message of the user."""
        return self.begins and self.is_asked

    @property
    def is_asked(self) -> bool:
        """True if the assistant has neither said nor done anything."""
        return _is_asked(self.chat)

    @property
    def is_open(self) -> bool:
        """True if an answer is to come: to the question, or to what a tool returns."""
        said = [one for one in self.chat if one.get("role") not in SYSTEM]
        return not said or said[-1].get("role") in ("user", "tool") or bool(calls_of(said[-1]))

    def run(self) -> Run:
        """The run, which keeps the messages unless its texts tell them."""
        input, output = projected(self.chat)
        are_texts = isinstance(input, str) and isinstance(output, str)
        if are_texts and self.format.exchange(input, output, self.id) == self.messages:
            return Run(input, output, id=self.id)
        meta: dict[str, Any] = {MESSAGES: self.messages}
        if self.format is not OPENAI:
            meta[FORMAT] = self.format.name
        run = Run(input, output, meta, id=self.id)
        if are_texts and is_harmless(quick_text(self.messages)):
            meta[CHECKSUM] = f"{crc32(_checked(run.id, input, output, self.messages)):08x}"
        return run

    def behind(self, run: Run) -> Turn:
        """The whole turn of a run that goes on with these messages. Raises ValueError."""
        found = kept(run)
        if found and found[0] is not self.format:
            raise ValueError(
                f"The run that messages[{self.start}] goes on with has messages in the format "
                f"{found[0].name!r}. Append the rest in that format."
            )
        whole = [*messages_of(run, self.format), *self.messages]
        check_results(self.format, whole, self.start - len(whole) + len(self.messages))
        return Turn(self.format, whole, self.start, run.id, True)

    def ends(self, run: Run) -> bool:
        """True if the run ends with these messages: they were appended before."""
        found = messages_of(run, self.format)
        return found[-len(self.messages) :] == self.messages

    def starts(self, run: Run) -> bool:
        """True if the run begins with these messages."""
        return messages_of(run, self.format)[: len(self.messages)] == self.messages


def turns_of(messages: Any, format: Format, ids: Sequence[str] = ()) -> list[Turn]:
    """The turns of a list, with these ids. Raises ValueError for anything wrong in it."""
    groups = [*_groups(checked(messages, format), format)]
    are_ids = not isinstance(ids, str) and all(isinstance(id, str) and id for id in ids)
    if ids and not (are_ids and len(ids) == len(groups)):
        raise ValueError(
            f"`ids` must be a list of texts, one for each run of the messages: {len(groups)}."
        )
    turns = [
        _turn(format, group, start, [*ids][n : n + 1]) for n, (start, group) in enumerate(groups)
    ]
    known: set[str] = set()
    for turn in turns:
        if turn.id in known:
            raise ValueError(f"messages[{turn.start}] has the id of another run in the list.")
        known.add(turn.id)
        if turn.begins:
            check_results(format, turn.messages, turn.start)
    return turns


def _turn(format: Format, group: list[Message], start: int, ids: Sequence[str]) -> Turn:
    question = next(filter(format.begins, group), {})
    id = ids[0] if ids else question.get("id")
    is_named = isinstance(id, str) and bool(id)
    return Turn(format, group, start, id if is_named else uuid4().hex, is_named)  # type: ignore[arg-type]


def _groups(messages: list[Message], format: Format) -> Iterator[tuple[int, list[Message]]]:
    """The messages of each turn and where they begin; a system prompt goes with what follows it."""
    begin = behind = 0  # of the group, and of the system prompts at its end
    for position, message in enumerate(messages):
        if format.is_system(message):
            continue
        if format.begins(message) and behind:
            yield begin, messages[begin:behind]
            begin = behind
        behind = position + 1
    if messages and not behind:
        raise ValueError("messages has system prompts alone, and no message of a user.")
    if messages:
        yield begin, messages[begin:]


def split(
    messages: Sequence[Message], format: Format, before: Turn | None = None
) -> Iterator[Turn]:
    """The turns of any list of messages, with fresh ids; the first goes on with that of `before`.

    A turn ends in front of the next message of a user, or system prompt, that follows an answer.
    """
    group = [*before.messages] if before else []
    is_asked = before is None or before.is_asked
    for message in messages:
        chat = format.to_chat([message])
        if group and not is_asked and (begins(chat) or is_system(chat)):
            yield Turn(format, group, id=uuid4().hex)
            group, is_asked = [], True
        group.append(message)
        is_asked = is_asked and _is_asked(chat)
    if group:
        yield Turn(format, group, id=uuid4().hex)


def _is_asked(chat: Sequence[Message]) -> bool:
    return all(one.get("role") in ("user", *SYSTEM) for one in chat)


def check_results(format: Format, messages: Sequence[Message], start: int) -> None:
    """Raises ValueError for the result of a tool call that was not made."""
    made: set[str] = set()
    for position, message in enumerate(messages, start):
        for one in format.to_chat([message]):
            made |= {string(call.get("id")) for call in calls_of(one)}
            if one.get("role") == "tool" and string(one.get("tool_call_id")) not in made:
                raise ValueError(
                    f"messages[{position}] is the result of the tool call "
                    f"{one.get('tool_call_id')!r:.80}, which the run does not have."
                )


def is_unfinished(run: Run) -> bool:
    """True if a tool was called in the run, and the assistant has not answered since."""
    said = [one for one in chat_messages(run) if one.get("role") not in SYSTEM]
    return bool(said) and (said[-1].get("role") == "tool" or bool(calls_of(said[-1])))


def projected(chat: Sequence[Message]) -> tuple[Any, Any]:
    """Input and output of the run of chat messages: texts, or an artifact that shows pictures."""
    asked = takewhile(lambda one: one.get("role") in ("user", *SYSTEM), chat)
    parts = [
        part for one in asked if one["role"] == "user" for part in parts_of(one.get("content"))
    ]
    answers = [text_of(one) for one in chat if one.get("role") == "assistant"]
    output = next((text for text in reversed(answers) if text), "")
    # In Anthropic's form, a text may stand beside the results of tools: it is not the question.
    return _shown(parts), output


def _shown(parts: list[Message]) -> str | Artifact:
    shown = [_artifact(part) for part in parts]
    if all(isinstance(one, str) for one in shown):
        return "\n".join(map(str, shown))
    items = [Artifact(one) if isinstance(one, str) else one for one in shown]
    return items[0] if len(items) == 1 else Artifact(items, type="ListArtifact")


def _artifact(part: Message) -> str | Artifact:
    kind = part.get("type")
    if kind == "image_url":
        url = string(member(part, "image_url").get("url"))
        found = inline(url)
        if found is None and not url.startswith("data:"):
            return f"[image: {url[:2000]}]"
        # Griptape cannot load a conversation with base64 that it cannot decode.
        if found is None or len(found[1]) % 4 or not found[0].startswith("image/"):
            return "[image]"
        # Griptape requires a size; only the picture itself knows it.
        format = found[0].removeprefix("image/")
        return Artifact(found[1], type="ImageArtifact", format=format, width=0, height=0)
    if kind == "file":
        return f"[file: {string(member(part, 'file').get('filename')) or 'without a name'}]"
    return "[audio]" if kind == "input_audio" else joined([part])


def kept(run: Run) -> tuple[Format, list[Message]] | None:
    """The messages in the meta of a run and their format; None if its texts were changed since."""
    input, output, meta = run.glance()
    found = _stored_in(meta)
    if found is None or len(dicts(found[1])) < len(found[1]):
        return None
    format, messages = found
    stated = meta.get(CHECKSUM)
    if stated and stated == f"{crc32(_checked(run.id, input, output, messages)):08x}":
        return found
    chat = format.to_chat(messages)
    if _is_question(chat) and run.output.text:  # a worker has finished the open run
        answer = [{"role": "assistant", "content": run.output.text}]
        messages = [*messages, *format.from_chat(answer, run.id)]
        chat = format.to_chat(messages)
    is_same = projected(chat) == (input, output) or _are_shown(run, chat)
    return (format, messages) if is_same else None


def _checked(id: str, input: Any, output: Any, messages: list[Message]) -> bytes:
    """Of what the checksum is: a run as it stands in a list, up to the end of its messages."""
    return quick_text([id, input, output, {MESSAGES: messages}])[: -len("}]")]


def _is_question(chat: Sequence[Message]) -> bool:
    roles = [one.get("role") for one in chat]
    return "user" in roles and all(role in ("user", *SYSTEM) for role in roles)


def _are_shown(run: Run, chat: Sequence[Message]) -> bool:
    """True if input and output of a run are those of its messages."""
    sides, shown = (run.input, run.output), projected(chat)
    if all(map(_shows, sides, shown)):
        return True
    restored = zip(sides, _texts(chat), strict=True)
    return all(
        _shows(side, one) or side.text == text
        for (side, text), one in zip(restored, shown, strict=True)
    )


def stored(run: Run) -> tuple[Format, list[Any]] | None:
    """The messages in the meta of a run as they are, and their format."""
    return _stored_in(run.meta)


def _stored_in(meta: Any) -> tuple[Format, list[Any]] | None:
    meta = meta if isinstance(meta, dict) else {}
    messages, name = meta.get(MESSAGES), meta.get(FORMAT, OPENAI.name)
    format = FORMATS.get(name) if isinstance(name, str) else None
    return (format, messages) if format and messages and isinstance(messages, list) else None


def without_messages(meta: Any) -> dict[str, Any]:
    """What else the meta of a run has."""
    known = meta if isinstance(meta, dict) else {}
    return {name: one for name, one in known.items() if name not in (MESSAGES, FORMAT, CHECKSUM)}


def _texts(chat: Sequence[Message]) -> tuple[str, str]:
    """Input and output as they are when a chat export was restored: texts."""
    found = {
        one["role"]: text_of(one) for one in chat if one.get("role") in _SIDES and text_of(one)
    }
    return found.get("user", ""), found.get("assistant", "")


_SIDES = ("user", "assistant")


def _shows(artifact: Artifact, projected: Any) -> bool:
    is_text = isinstance(projected, str)
    return artifact.text == projected if is_text else _values(artifact) == _values(projected)


def _values(artifact: Artifact) -> list[tuple[str, Any]]:
    return [(one.type, one.value) for one in artifact.items or [artifact]]


def messages_of(run: Run, format: Format) -> list[Message]:
    """The messages of a run in a format: those that were appended, if they were in this one."""
    input, output, meta = run.glance()
    if meta is None and input is not None and output is not None:
        return format.exchange(input, output, run.id)
    found = kept(run)
    if found and found[0] is format:
        return found[1]
    # A picture of the assistant has no place in a prompt: its description has.
    pair = said(_content(run.input), run.output.text)
    return format.from_chat(found[0].to_chat(found[1]) if found else pair, run.id)


def chat_messages(run: Run) -> list[Message]:
    """The messages of a run as OpenAI's chat API has them, with pictures of the assistant."""
    if kept(run):
        return messages_of(run, OPENAI)
    return said(_content(run.input), _content(run.output))


def _content(artifact: Artifact) -> Any:
    """A text, or a list of parts if one of them is an image."""
    if artifact.type == "TextArtifact":
        return artifact.text
    parts = [_part(item) for item in artifact.items or [artifact]]
    return parts if any(part["type"] != "text" for part in parts) else artifact.text


def _part(artifact: Artifact) -> Message:
    if artifact.type == "ImageArtifact" and isinstance(artifact.value, str):
        url = data_url(artifact.mime_type, artifact.value)
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "text", "text": artifact.text}
