"""Tasks for Django's task framework, or for the package django-tasks before Django 6."""

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
            "conversation_memory.tasks requires the task framework of Django 6; on Django 5.2, "
            "install django-tasks, or run `manage.py reapconversations` from cron."
        ) from None


@task
def reap_conversations(alias: str | None = None) -> dict[str, int]:
    """Delete expired conversations of one index or all. Returns the number for each alias.

    Replies that no worker has finished in time are failed; see `index.fail_abandoned()`. A failing
    index does not stop the others; the first failure is raised at the end.
    """
    return _in_each([*indexes] if alias is None else [alias], _reap)


@task
def embed_conversations(alias: str | None = None) -> dict[str, int]:
    """Embed the runs that have no vector yet, in one index or all that have EMBED.

    Returns the number for each alias. Failures are handled as in `reap_conversations`.
    """
    embedding = [name for name in indexes if indexes[name].embeds]
    return _in_each(embedding if alias is None else [alias], ConversationIndex.embed)


def _reap(index: ConversationIndex) -> int:
    reaped = index.reap()
    index.fail_abandoned()
    return reaped


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
