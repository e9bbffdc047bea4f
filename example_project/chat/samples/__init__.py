"""Sample conversations for the first start of the site."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from conversation_memory import Artifact, Run
from example_project.chat.samples.facts import facts

FILES = files(__package__)


@dataclass(frozen=True, kw_only=True)
class Sample:
    conversation_id: str
    owner: str
    title: str
    runs: list[Run]


def samples() -> Iterator[Sample]:
    """All samples; the last one is listed first."""
    for owner in ("katherine", "grace", "ada"):
        text = FILES.joinpath(f"{owner}.toml").read_text(encoding="utf-8")
        for entry in tomllib.loads(text)["conversation"]:
            yield sample(owner, entry["id"], entry["title"], entry["turns"])
    yield sample("grace", "sample-italian", "Italian, a word at a time", list(vocabulary()))


def sample(owner: str, conversation_id: str, title: str, turns: list) -> Sample:
    runs = [run(f"{conversation_id}-{number}", *turn) for number, turn in enumerate(turns, 1)]
    return Sample(conversation_id=conversation_id, owner=owner, title=title, runs=runs)


def run(run_id: str, question: Any, answer: Any, calls: list[dict[str, Any]] | None = None) -> Run:
    """A turn as a run; its third part are the tools that were called before the answer."""
    made = Run(artifact(question), artifact(answer), id=run_id)
    made.meta = facts(run_id, made.input.text, made.output.text, calls or [])
    return made


def artifact(value: str | dict[str, Any]) -> str | Artifact:
    if isinstance(value, str):
        return value.strip()
    if "picture" in value:
        return picture(**value)
    return Artifact(**{**value, "value": nested(value["value"])})


def nested(value: Any) -> Any:
    """A list of dicts as a list of artifacts, so that each has an id."""
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return [artifact(item) for item in value]
    return value


def picture(*, picture: str, name: str, width: int, height: int) -> Artifact:
    return Artifact(
        FILES.joinpath(picture).read_bytes(),
        type="ImageArtifact",
        name=name,
        format="png",
        width=width,
        height=height,
    )


def vocabulary() -> Iterator[tuple[str, str]]:
    """A long conversation: 160 exchanges about one word each."""
    yield (
        "Let us practise Italian. I say a word, you give me the Italian one and a sentence.",
        "Volentieri! Gladly. One word at a time, and I will remember which ones we had.",
    )
    for line in FILES.joinpath("italian.txt").read_text(encoding="utf-8").splitlines():
        english, italian, sentence, meaning = line.split(" | ")
        yield f"{english}?", f"{italian}\n\n{sentence}\n{meaning}"
