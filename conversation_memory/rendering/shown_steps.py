"""How reasoning and tool calls look on a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from django.utils.safestring import SafeString

from ..messages import Step, steps_of
from ..runs import Run
from .safe_text import NO_MARKS, Marks, cut, label, visible
from .shown_artifacts import pretty

MAX_STEPS = 50  # of a run
MAX_NAME = 200


@dataclass(frozen=True, kw_only=True)
class ShownStep:
    """A step for the template `conversation_memory/step.html`; see `Step` for its `kind`.

    `result` is None if there is none. `is_found` is True if a word of the search is in it. The kind
    "more" stands for the steps that a page leaves out.
    """

    kind: str
    name: str = ""
    text: SafeString | str = ""
    result: SafeString | str | None = None
    is_failed: bool = False
    is_found: bool = False


def show_steps(
    run: Run, marks: Marks = NO_MARKS, *, limit: int | None = None, most: int | None = MAX_STEPS
) -> Iterator[ShownStep]:
    """The first `most` steps of a run, with the first `limit` characters of each text.

    None is no limit.
    """
    steps = iter(steps_of(run))
    yield from (_shown(step, marks, limit) for step in islice(steps, most))
    if next(steps, None):
        yield ShownStep(kind="more")


def _shown(step: Step, marks: Marks, limit: int | None) -> ShownStep:
    def html(text: str) -> SafeString:
        beginning, left = cut(text, limit)
        return marks.html(f"{beginning} …" if left else beginning)

    if step.kind != "call":
        is_found = marks.found_in(step.text)
        return ShownStep(kind=step.kind, text=html(visible(step.text)), is_found=is_found)
    return ShownStep(
        kind="call",
        name=label(step.name)[:MAX_NAME],
        text=html(pretty(step.arguments)),
        result=None if step.result is None else html(pretty(step.result)),
        is_failed=step.is_failed,
        is_found=any(map(marks.found_in, step.texts)),
    )
