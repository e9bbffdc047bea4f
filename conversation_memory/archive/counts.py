"""What a restore does with the conversations of an archive, counted."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..keys import decode
from .items import Item

EXAMPLES = 10
WRITTEN = ("new", "replaced")

_OWNERS = 100
_COUNTED = "new same conflicts replaced skipped kept expired unreadable grown".split()


@dataclass(slots=True)
class Counts:
    """The conversations of an archive by outcome of the restore, or of its plan.

    `same` are stored already, `conflicts` with other content or another record: these are
    `replaced`, `skipped`, or `kept` because the stored conversation is unreadable, which is never
    overwritten. `unreadable` of those written are damaged, and restored as their archived bytes.
    `grown` of the `same` have an open run that gets further messages. `owners` counts the
    conversations of owners missing from the map. `examples` are ids by outcome.
    """

    new: int = 0
    same: int = 0
    conflicts: int = 0
    replaced: int = 0
    skipped: int = 0
    kept: int = 0
    expired: int = 0
    unreadable: int = 0
    grown: int = 0
    owners: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def seen(self) -> int:
        return self.new + self.same + self.conflicts + self.expired

    def add(self, item: Item) -> None:
        """Count one, by its outcome."""
        kind, entry = item.outcome, item.entry
        setattr(self, kind, getattr(self, kind) + 1)
        if kind in ("skipped", "replaced", "kept"):
            self.conflicts += 1
        if kind == "same" and any(one.place for one in entry.open):
            self.grown += 1
        named = [kind]
        if kind in WRITTEN and entry.runs is None:
            self.unreadable += 1
            named.append("unreadable")
        for name in named:
            examples = self.examples.setdefault(name, [])
            if len(examples) < EXAMPLES:
                examples.append(decode(entry.id))

    def include(self, other: Counts) -> None:
        """Add the counts of another part of the archive."""
        for name in _COUNTED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name, ids in other.examples.items():
            examples = self.examples.setdefault(name, [])
            examples += ids[: EXAMPLES - len(examples)]

    def add_owner(self, owner: bytes) -> None:
        name = decode(owner)
        if name in self.owners or len(self.owners) < _OWNERS:
            self.owners[name] = self.owners.get(name, 0) + 1
