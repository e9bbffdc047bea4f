"""A test that is run twice: with the sync methods, and with their async twins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import wraps
from typing import Any

from ..indexes import indexes


def both(test: Callable[[Any, Any], None]) -> Callable[[Any], None]:
    """Call `test(self, index)` twice: with the index, and with its async twins behind the names.

    `self.index` is the index, and `self.wipe()` empties it.
    """

    @wraps(test)
    def run(self: Any) -> None:
        with self.subTest("sync"):
            test(self, self.index)
        self.wipe()
        # All calls are in one event loop: one for each would cost more than the calls.
        with self.subTest("async"), asyncio.Runner() as runner:
            try:
                test(self, Awaited(self.index, runner.run))
            finally:
                runner.run(close_connections())
        self.wipe()

    return run


class Awaited:
    """An index or a driver whose every method runs its async twin to the end with `run`."""

    def __init__(self, subject: Any, run: Callable[[Any], Any] | None = None):
        self.subject = subject
        self.run = run or wait_for

    def driver(self, *args: Any, **kwargs: Any) -> Awaited:
        return Awaited(self.subject.driver(*args, **kwargs), self.run)

    def __iter__(self) -> Iterator[Any]:
        async def collect() -> list[Any]:
            return [item async for item in self.subject]

        return iter(self.run(collect()))

    def __getattr__(self, name: str) -> Any:
        twin = getattr(self.subject, f"a{name}", None)
        if twin is None:
            return getattr(self.subject, name)
        return lambda *args, **kwargs: self.run(twin(*args, **kwargs))


def wait_for(awaitable: Awaitable[Any]) -> Any:
    """The result of an awaitable, in an event loop of its own that leaves no connection open."""

    async def run() -> Any:
        try:
            return await awaitable
        finally:
            await close_connections()

    return asyncio.run(run())


async def close_connections() -> None:
    """Close those of the running loop, also where changed settings have begun to."""
    await indexes.aclose()
    tasks = asyncio.all_tasks()
    await asyncio.gather(*(task for task in tasks if task is not asyncio.current_task()))
