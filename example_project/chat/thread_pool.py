"""A backend for Django's tasks that needs no broker: threads of the process that enqueues."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

try:
    from django.tasks.backends.immediate import ImmediateBackend
except ImportError:  # Django 5.2
    from django_tasks.backends.immediate import ImmediateBackend


@cache
def pool() -> ThreadPoolExecutor:
    # One for the process: Django opens a backend per thread and per async task.
    return ThreadPoolExecutor(max_workers=4, thread_name_prefix="chat-task")


def close() -> None:
    """Let the running tasks finish and forget those still queued."""
    pool().shutdown(cancel_futures=True)
    pool.cache_clear()


class ThreadPoolBackend(ImmediateBackend):
    """What ImmediateBackend does, but on another thread: enqueue() returns at once."""

    def _execute_task(self, task_result):
        pool().submit(super()._execute_task, task_result)
