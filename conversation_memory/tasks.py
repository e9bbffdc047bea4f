"""Tasks for Django's task framework: part of Django 6, the package django-tasks before."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured

from .exceptions import ConversationMemoryError
from .indexes import indexes

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
    reaped, failures = {}, []
    for name in indexes if alias is None else [alias]:
        try:
            reaped[name] = indexes[name].reap()
        except ConversationMemoryError as error:
            failures.append(error)
    if failures:
        raise failures[0]
    return reaped
