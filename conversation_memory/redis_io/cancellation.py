"""Changes that end before a cancellation is raised."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def uncancelled(change: Coroutine[Any, Any, T]) -> T:
    """The result of a change, which is finished even if the caller is cancelled meanwhile.

    Otherwise nobody would know whether it was made.
    """
    task = asyncio.create_task(change)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # or asyncio logs that nobody has asked for it
        raise
