"""A backend for Django tasks that needs no broker: threads of the enqueuing process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

try:
    from django.tasks.backends.immediate import ImmediateBackend
except ImportError:  # Django 5.2
    from django_tasks.backends.immediate import ImmediateBackend


@cache
def pool() -> ThreadPoolExecutor:
    # One per process, because Django opens a backend per thread and per async task.
    return ThreadPoolExecutor(max_workers=4, thread_name_prefix="chat-task")


def close() -> None:
    """Let running tasks finish and drop those in the queue."""
    pool().shutdown(cancel_futures=True)
    pool.cache_clear()


class ThreadPoolBackend(ImmediateBackend):
    """An ImmediateBackend that runs tasks on another thread, so that enqueue() returns at once."""

    def _execute_task(self, task_result):
        pool().submit(super()._execute_task, task_result)
