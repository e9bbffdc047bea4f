"""Where the tests of a layout run: an index of the test's own in that layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from unittest import mock

from ..indexes import indexes
from ..layouts import LAYOUTS, Layout
from ..runs import Run
from .own_indexes import IndexTestMixin

if TYPE_CHECKING:
    Case = IndexTestMixin
else:
    Case = object  # or runners would run the tests of a mixin where it is imported

MOST = 1_000_000
HOSTILE: list[Any] = [
    "\x00\x1f\x7f",
    'quote " backslash \\ slash /',
    "lone \ud800 surrogate",
    "👩‍👩‍👧‍👦 \u202eשלום\u2028",
    ', {"type": "Run", "id": "b"}, ',
    '], "metadata": {',
    -(2**70) + 1,
    10**30 - 1,
    1.0,
    -0.0,
    1e-300,
    True,
    None,
    [],
    {},
    {"": [{"type": "Run", "id": "b"}]},
]


def run(id: str, output: str = "an answer") -> Run:
    return Run("a question", output, id=id)


def ids(runs: list[Run]) -> list[str]:
    return [run.id for run in runs]


class LayoutCase(Case):
    """`layout` is a subclass of Layout, or the name of one in LAYOUTS."""

    layout: ClassVar[type[Layout] | str]

    def setUp(self) -> None:
        from django.conf import settings
        from django.test.utils import override_settings

        super().setUp()
        name = self.layout if isinstance(self.layout, str) else self.layout.name
        if not isinstance(self.layout, str):
            self.enterContext(mock.patch.dict(LAYOUTS, {name: self.layout}))
        self.entry = {**settings.REDIS[self.index.alias], "LAYOUT": name, "MAX_BYTES": MOST}
        self.enterContext(override_settings(REDIS={self.index.alias: self.entry}))
        self.index = indexes[self.index.alias]
        self.raw = self.index.driver().client  # for what other programs do

    def wipe(self) -> None:
        for id in self.index:
            self.index.driver(id).delete()

    def keys(self) -> set[Any]:
        """All keys of the index, without the answers to calls, which pass."""
        found = self.raw.scan_iter(f"*{self.index.name}*", count=1000)
        return {key for key in found if ":call:" not in str(key)}

    def of_layout(self, name: str) -> Any:
        """The same index in another layout."""
        from django.test.utils import override_settings

        with override_settings(REDIS={self.index.alias: {**self.entry, "LAYOUT": name}}):
            return indexes[self.index.alias]
