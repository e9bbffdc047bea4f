"""Stored content as a page can show it. All of it is untrusted."""

from .markdown import Budget
from .safe_text import NO_MARKS, Marks, label, visible
from .serving import image_type, pick
from .shown_artifacts import Look, Shown, show

__all__ = [
    "NO_MARKS",
    "Budget",
    "Look",
    "Marks",
    "Shown",
    "image_type",
    "label",
    "pick",
    "show",
    "visible",
]
