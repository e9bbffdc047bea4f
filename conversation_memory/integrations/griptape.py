"""Griptape: a conversation as the memory of an agent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple
from weakref import ref

from attrs import Factory, define, field
from griptape.drivers.memory.conversation import BaseConversationMemoryDriver
from griptape.memory.structure import Run

from ..drivers import RedisConversationMemoryDriver
from ..exceptions import RunNotFound, sensitive
from ..indexes import indexes
from ..runs import Run as StoredRun
from .griptape_artifacts import as_json, read_artifact, state_of, write_artifact

_KEPT = {"serializable": True}
_INTERNAL: dict[str, Any] = {"init": False, "repr": False}


class Seen(NamedTuple):
    """A run that a memory holds, and how it is stored as far as that memory knows."""

    run: Callable[[], object]  # a weak reference
    id: str
    state: Any
    metadata: dict[str, Any]  # the states of the values, shared by the runs of one memory


@define(kw_only=True, eq=False)
class ConversationMemoryDriver(BaseConversationMemoryDriver):  # type: ignore[misc]  # untyped
    """One conversation as the `conversation_memory_driver` of Griptape's memory.

    `driver` is what `indexes["alias"].driver(…)` returns. Without it, `alias`, `index`,
    `conversation_id`, `owner` and `ttl` open one, as `from_dict()` does.

    `load()` and `store()` raise the errors of `conversation_memory.exceptions`.
    """

    alias: str = field(default="default", metadata=_KEPT)
    index: str | None = field(default=None, metadata=_KEPT)
    conversation_id: str | None = field(default=None, metadata=_KEPT)
    owner: str | None = field(default=None, metadata=_KEPT)
    ttl: float | None = field(default=None, metadata=_KEPT)
    driver: RedisConversationMemoryDriver = field(
        default=Factory(lambda self: _opened(self), takes_self=True)
    )
    # By which Griptape finds this class again, since it is in no module of its own.
    module_name: str = field(default=__name__, metadata=_KEPT)
    _seen: dict[int, Seen] = field(factory=dict, **_INTERNAL)
    _states: dict[str, Any] = field(factory=dict, **_INTERNAL)
    _metadata: dict[str, Any] = field(factory=dict, **_INTERNAL)

    def __attrs_post_init__(self) -> None:
        driver = self.driver
        self.alias, self.index, self.ttl = driver.alias, driver.index, driver.ttl
        self.conversation_id, self.owner = driver.conversation_id, driver.owner

    @sensitive
    def load(self) -> tuple[list[Run], dict[str, Any]]:
        """The runs, oldest first, and the metadata; `([], {})` if nothing was stored yet.

        What Griptape has no artifact for is a `TextArtifact`, and stays what it is in Redis.
        """
        stored, metadata = self.driver.load()
        runs = [_read_run(run) for run in stored]
        self._metadata = {key: state_of(value) for key, value in metadata.items()}
        for run in runs:
            self._note(run, _state_of_run(run), self._metadata)
        return runs, metadata

    @sensitive
    def store(self, runs: list[Run], metadata: dict[str, Any]) -> None:
        """Append the runs that are new, edit those that were changed, and merge the metadata.

        Only what was changed since this driver loaded or stored it is written. A run that another
        writer removed stays removed, and a run that is not in `runs` stays stored.
        """
        known = self._metadata_of(runs)
        base = self._metadata if known is None else known
        added, edited = self._differences(runs)
        if added:
            self._append(added, base)
        for run, stored in edited:
            self._edit(run, stored, base)
        self._merge(as_json(metadata), base, removes=known is not None)

    def _differences(self, runs: list[Run]) -> tuple[list[Run], list[tuple[Run, Any]]]:
        """The runs that are not stored, and those that changed, each with its state before."""
        held = {run.id for run in runs if self._seen_as(run)}
        added: dict[str, Run] = {}
        edited: dict[str, tuple[Run, Any]] = {}
        for run in runs:
            seen = self._seen_as(run)
            state = seen.state if seen else self._states.get(run.id)
            if state is None:
                added.setdefault(run.id, run)
            # An old copy of a run, as in a memory that was restored, is not a change. A run of
            # another program may have no id, and cannot be found again.
            elif run.id and (seen or run.id not in held) and state != _state_of_run(run):
                edited.setdefault(run.id, (run, state))
        return [*added.values()], [*edited.values()]

    @sensitive
    def _append(self, runs: list[Run], metadata: dict[str, Any]) -> None:
        if self.driver.append(*map(_write_run, runs)) < len(runs):
            self._overwrite(runs, metadata)
        for run in runs:
            self._note(run, _state_of_run(run), metadata)

    @sensitive
    def _overwrite(self, runs: list[Run], metadata: dict[str, Any]) -> None:
        """Give runs that were stored before, which this driver did not know, what is new."""
        stored = {run.id: run for run in self.driver.load()[0]}
        for run in runs:
            before = _state_of_run(_read_run(stored[run.id])) if run.id in stored else None
            if before and before != _state_of_run(run):
                self._edit(run, before, metadata)

    @sensitive
    def _edit(self, run: Run, before: Any, metadata: dict[str, Any]) -> None:
        state = _state_of_run(run)

        @sensitive
        def changed(stored: StoredRun) -> StoredRun:
            for side, old, new in zip(("input", "output"), before[1:], state[1:], strict=True):
                if old != new:
                    setattr(stored, side, write_artifact(getattr(run, side)))
            if before[0] != state[0]:
                stored.meta = _merged(stored.meta, before[0], as_json(run.meta))
            return stored

        with suppress(RunNotFound):
            self.driver.change(run.id, changed)
        self._note(run, state, metadata)

    @sensitive
    def _merge(self, metadata: dict[str, Any], known: dict[str, Any], *, removes: bool) -> None:
        states = {key: state_of(value) for key, value in metadata.items()}
        changes = {key: metadata[key] for key in states if states[key] != known.get(key, ...)}
        removed = [key for key in known if key not in states] if removes else []
        if changes or removed:
            self.driver.update_metadata(changes, remove=removed)
            known.update(states)
            for key in removed:
                del known[key]

    def _note(self, run: Run, state: Any, metadata: dict[str, Any]) -> None:
        key, seen = id(run), self._seen
        seen[key] = Seen(ref(run, lambda _: seen.pop(key, None)), run.id, state, metadata)
        self._states[run.id] = state

    def _seen_as(self, run: Run) -> Seen | None:
        seen = self._seen.get(id(run))
        return seen if seen and seen.id == run.id and seen.run() is run else None

    def _metadata_of(self, runs: Iterable[Run]) -> dict[str, Any] | None:
        """What the memory that holds these runs knows of the metadata."""
        return next((seen.metadata for seen in map(self._seen_as, runs) if seen), None)


def _opened(memory: ConversationMemoryDriver) -> RedisConversationMemoryDriver:
    index = indexes[memory.alias]
    if memory.index:
        index = indexes.open(memory.alias, memory.index)
    return index.driver(memory.conversation_id, owner=memory.owner, ttl=memory.ttl)


def _read_run(run: StoredRun) -> Run:
    data = run.to_dict()
    meta = data.get("meta")
    return Run(
        id=run.id,
        meta=meta if isinstance(meta, dict) else None,
        input=read_artifact(data.get("input")),
        output=read_artifact(data.get("output")),
    )


def _write_run(run: Run) -> dict[str, Any]:
    return {
        "type": "Run",
        "id": run.id,
        "meta": run.meta,
        "input": write_artifact(run.input),
        "output": write_artifact(run.output),
    }


def _state_of_run(run: Run) -> tuple[Any, Any, Any]:
    return state_of(run.meta), state_of(run.input), state_of(run.output)


def _merged(stored: Any, before: Any, meta: dict[str, Any] | None) -> dict[str, Any] | None:
    """The meta `meta`, with what others have changed since it was `before`."""
    if meta is None or not isinstance(stored, dict):
        return meta
    known = dict(before[1:]) if before else {}
    changes = {key: meta[key] for key in meta if state_of(meta[key]) != known.get(key, ...)}
    kept = {key: stored[key] for key in stored if key in meta or key not in known}
    return {**kept, **changes}
