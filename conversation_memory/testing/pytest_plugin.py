"""A fixture for pytest, which finds it by the entry point pytest11. It needs pytest-django."""

from collections.abc import Iterator
from typing import Any

import pytest

from ..indexes import ConversationIndex, indexes
from .own_indexes import dropping, first, new_prefix, renamed


@pytest.fixture
def conversation_index(settings: Any) -> Iterator[ConversationIndex]:
    """An index of the test's own, new and empty, which is deleted after the test.

    See `conversation_memory.testing.IndexTestMixin`.
    """
    # By the fixture of pytest-django, which undoes all changes of a test in their order.
    settings.REDIS = own = renamed(prefix := new_prefix())
    with dropping(prefix):
        yield indexes[first(own)]
