from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core.signals import setting_changed
from django.utils.translation import gettext_lazy as _


class ConversationMemoryConfig(AppConfig):
    name = "conversation_memory"
    verbose_name = _("Conversation memory")

    def ready(self) -> None:
        from . import checks, receivers  # noqa: F401  # importing checks registers them
        from .masking import hide_secrets

        hide_secrets()
        receivers.connect()
        setting_changed.connect(_setting_changed, dispatch_uid="conversation_memory")


def _setting_changed(*, setting: str, **kwargs: Any) -> None:
    from .indexes import indexes
    from .masking import hide_secrets

    if setting in ("REDIS", "CACHES"):
        indexes.close()
        hide_secrets()
