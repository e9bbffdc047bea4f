from typing import Any

from django.apps import AppConfig
from django.core.signals import setting_changed
from django.utils.translation import gettext_lazy as _


class ConversationMemoryConfig(AppConfig):
    name = "conversation_memory"
    verbose_name = _("Conversation memory")

    def ready(self) -> None:
        from . import checks  # noqa: F401  # importing it registers the checks
        from .gauges import connect_gauges
        from .masking import hide_secrets
        from .owners import connect_user_deletion

        hide_secrets()
        connect_user_deletion()
        connect_gauges()
        setting_changed.connect(_setting_changed, dispatch_uid="conversation_memory")


def _setting_changed(*, setting: str, **kwargs: Any) -> None:
    from .indexes import indexes
    from .masking import hide_secrets

    if setting in ("REDIS", "CACHES"):
        indexes.close()
        hide_secrets()
