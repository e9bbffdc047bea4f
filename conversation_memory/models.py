"""Models without tables, for Django's admin and its permissions."""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _


# `dumpdata` and other code visits every model; here, it must not look for a table. The admin reads
# Redis through `admin.queryset`.
class EmptyManager(models.Manager[Any]):
    def get_queryset(self) -> Any:
        return super().get_queryset().none()


class Index(models.Model):
    """An index: an alias and the hash that its conversations are in."""

    id = models.CharField(primary_key=True, max_length=2000, editable=False)
    alias = models.CharField(_("alias"), max_length=1000, editable=False)
    name = models.CharField(_("index"), max_length=1000, editable=False)

    # Set by the admin: `opened` is None if the settings are invalid, `statistics` after a failure.
    address: Any
    opened: Any = None
    statistics: Any = None
    search_state: str = "off"
    failure: str = ""

    objects = EmptyManager()

    class Meta:
        managed = False
        base_manager_name = "objects"
        default_permissions = ("view",)
        verbose_name = _("index")
        verbose_name_plural = _("indexes")

    def __str__(self) -> str:
        return f"{self.alias}: {self.name}"


class Conversation(models.Model):
    """A conversation, without its runs."""

    id = models.CharField(primary_key=True, max_length=2000, editable=False)
    alias = models.CharField(_("alias"), max_length=1000, editable=False)
    index = models.CharField(_("index"), max_length=1000, editable=False)
    conversation_id = models.TextField(_("conversation id"), editable=False)
    title = models.CharField(_("title"), max_length=1000, blank=True)
    owner = models.CharField(_("owner"), max_length=1000, blank=True)
    runs = models.PositiveIntegerField(_("runs"), null=True, editable=False)
    size = models.PositiveBigIntegerField(_("size"), editable=False, default=0)
    created = models.DateTimeField(_("created"), null=True, editable=False)
    updated = models.DateTimeField(_("last write"), null=True, editable=False)
    expires = models.DateTimeField(_("expires"), null=True, blank=True)

    # Set by the admin: the first three always, `found` by a search of messages, the others on the
    # page of the conversation. `listed` is the time by which lists are sorted.
    address: Any
    summary: Any
    listed: Any
    owner_name: str = ""
    owner_url: str | None = None
    found: Any = None
    excerpt: Any
    metadata: dict[str, Any]
    damage: Any
    hit: int | None

    objects = EmptyManager()

    class Meta:
        managed = False
        base_manager_name = "objects"
        default_permissions = ("view", "change", "delete")
        permissions = [
            ("export_conversation", "Can export conversations"),
            ("restore_conversation", "Can restore conversations"),
            ("erase_owner", "Can erase all conversations of an owner"),
        ]
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")

    def __str__(self) -> str:
        return (self.title or self.conversation_id)[:200]
