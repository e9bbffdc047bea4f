from __future__ import annotations

from django import template

from conversation_memory import Artifact, Record
from example_project.chat import memory
from example_project.chat.rendering import Shown, show

register = template.Library()

register.filter("asked", memory.asked)
register.filter("is_waiting", memory.is_waiting)
register.filter("status", memory.status)


@register.filter
def shown(artifact: Artifact, place: str) -> Shown:
    return show(artifact, place)


@register.filter
def title(record: Record | None) -> str:
    return (record.title if record else "") or "Untitled conversation"


@register.filter
def initial(text: str) -> str:
    return next((letter.upper() for letter in text if letter.isalnum()), "…")


@register.filter
def hue(text: str) -> int:
    """One of six colours, always the same for the same text."""
    return sum(text.encode("utf-8", "surrogateescape")) % 6
