"""What is stored, as it may stand on a page: all of it is text that strangers wrote."""

from .artifacts import Look, Shown, image_type, pick, show
from .markdown import Budget
from .marks import NO_MARKS, Marks
from .text import label, visible

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
