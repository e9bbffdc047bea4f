from __future__ import annotations

from django import template
from django.template import Context
from django.urls import reverse

from conversation_memory import Artifact, Record, Run
from conversation_memory.rendering import Look, Shown, show
from conversation_memory.rendering.shown_steps import ShownStep, show_steps
from example_project.chat import memory

FOLDED_LETTERS = 1500
FOLDED_LINES = 24

register = template.Library()

register.filter("asked", memory.asked)


@register.simple_tag(takes_context=True)
def shown(context: Context, artifact: Artifact, place: str) -> Shown:
    """The artifact at `place` in the run and the conversation of the context."""
    path = context["conversation"].conversation_id, context["run"].id
    return show(artifact, place, Look(url=lambda place: reverse("chat:file", args=[*path, place])))


@register.simple_tag
def steps(run: Run) -> list[ShownStep]:
    """What the assistant thought and which tools it called before it answered."""
    return [*show_steps(run, limit=2000)]


@register.filter
def is_long(artifact: Artifact) -> bool:
    """True if a message takes up more than a screen."""
    text = artifact.text or ""
    return len(text) > FOLDED_LETTERS or text.count("\n") > FOLDED_LINES


@register.filter
def title(record: Record | None) -> str:
    return (record.title if record else "") or "Untitled conversation"


@register.filter
def initial(text: str) -> str:
    return next((letter.upper() for letter in text if letter.isalnum()), "…")


@register.filter
def hue(text: str) -> int:
    """A number from 0 to 5 for a colour, always the same for the same text."""
    return sum(text.encode("utf-8", "surrogateescape")) % 6
