"""Tasks for Django's task framework: part of Django 6, the package django-tasks before."""

from __future__ import annotations

from collections.abc import Callable

from django.core.exceptions import ImproperlyConfigured

from .exceptions import ConversationMemoryError
from .indexes import ConversationIndex, indexes

try:
    from django.tasks import task
except ImportError:
    try:
        from django_tasks import task  # type: ignore[no-redef]
    except ImportError:
        raise ImproperlyConfigured(
            "conversation_memory.tasks needs the task framework of Django 6; on Django 5.2 install "
            "the package django-tasks, or let cron run `manage.py reapconversations`."
        ) from None


@task
def reap_conversations(alias: str | None = None) -> dict[str, int]:
    """Delete what is past its deadline, in one index or all. Returns how many of each alias.

    An index that fails keeps no other one waiting; the first failure is raised at the end.
    """
    return _in_each([*indexes] if alias is None else [alias], ConversationIndex.reap)


@task
def embed_conversations(alias: str | None = None) -> dict[str, int]:
    """Make the vectors of runs that have none, in one index or all that have EMBED.

    Returns how many of each alias. Like `reap_conversations`, it goes on after a failure.
    """
    embedding = [name for name in indexes if indexes[name].embeds]
    return _in_each(embedding if alias is None else [alias], ConversationIndex.embed)


def _in_each(aliases: list[str], operation: Callable[[ConversationIndex], int]) -> dict[str, int]:
    counts, failures = {}, []
    for alias in aliases:
        try:
            counts[alias] = operation(indexes[alias])
        except ConversationMemoryError as error:
            failures.append(error)
    if failures:
        raise failures[0]
    return counts
