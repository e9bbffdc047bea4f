"""The layouts by the name that settings know them by."""

from ..conf import IndexSettings
from ..exceptions import InvalidIndexError
from .base import Layout
from .hash import HashLayout
from .list import ListLayout
from .refs import ConversationRef

LAYOUTS: dict[str, type[Layout]] = {layout.name: layout for layout in (HashLayout, ListLayout)}


def layout(settings: IndexSettings) -> Layout:
    """The layout of an index. Raises `InvalidIndexError` for an unknown name."""
    if settings.layout not in LAYOUTS:
        raise InvalidIndexError(
            f"LAYOUT of settings.REDIS[{settings.alias!r}] is {settings.layout!r}; "
            f"there is {', '.join(map(repr, LAYOUTS))}."
        )
    return LAYOUTS[settings.layout](settings)


__all__ = ["LAYOUTS", "Layout", "ConversationRef", "layout"]
