"""Actions that change the selected conversations: their owner, their expiry, their tags."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.widgets import AdminTextInputWidget
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ..drivers import RedisConversationMemoryDriver
from ..exceptions import ConversationError, ConversationMemoryError
from ..models import Conversation
from ..rendering import label
from .formatting import grouped
from .forms import LONGEST, changed
from .redis_admin import RedisAdmin

# As for a deletion: the page of the action has a field for each.
MOST_CHANGED = 500


class NewOwner(forms.Form):
    title = gettext_lazy("Set the owner")
    value = forms.CharField(
        label=gettext_lazy("Owner"),
        required=False,
        max_length=1000,
        widget=AdminTextInputWidget,
        help_text=gettext_lazy("Leave it empty if there is no owner."),
    )

    def apply(self, driver: RedisConversationMemoryDriver, conversation: Conversation) -> str:
        new = self.cleaned_data["value"]
        driver.move_to(new or None)
        return changed("owner", conversation.owner, new)


class NewExpiry(forms.Form):
    title = gettext_lazy("Set the expiry")
    value = forms.DateTimeField(
        label=gettext_lazy("Expires"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        help_text=gettext_lazy("Leave it empty to keep the conversations forever."),
    )

    def clean_value(self) -> datetime | None:
        value: datetime | None = self.cleaned_data["value"]
        if value and not timezone.now() < value < timezone.now() + LONGEST:
            raise forms.ValidationError(_("Enter a time in the future."))
        return value

    def apply(self, driver: RedisConversationMemoryDriver, conversation: Conversation) -> str:
        new = self.cleaned_data["value"]
        if new:
            driver.expire(new)
        else:
            driver.persist()
        return changed("expires", conversation.expires, new)


class NewTag(forms.Form):
    title = gettext_lazy("Add a tag")
    value = forms.CharField(label=gettext_lazy("Tag"), max_length=100, widget=AdminTextInputWidget)

    def apply(self, driver: RedisConversationMemoryDriver, conversation: Conversation) -> str:
        """The tags are a list in the metadata, which search can index as a field."""
        new, stored = self.cleaned_data["value"], driver.excerpt(limit=1).metadata.get("tags")
        tags = stored if isinstance(stored, list) else [] if stored is None else [stored]
        if new not in tags:
            driver.update_metadata({"tags": [*tags, new]})
        return _("Added the tag %s.") % label(new)


BulkForm = NewOwner | NewExpiry | NewTag


class BulkActions(RedisAdmin):
    @admin.action(permissions=["change"], description=NewOwner.title)
    def set_owner(self, request: HttpRequest, queryset: Any) -> Any:
        return self._change_all(request, queryset, NewOwner)

    @admin.action(permissions=["change"], description=NewExpiry.title)
    def set_expiry(self, request: HttpRequest, queryset: Any) -> Any:
        return self._change_all(request, queryset, NewExpiry)

    @admin.action(permissions=["change"], description=NewTag.title)
    def add_tag(self, request: HttpRequest, queryset: Any) -> Any:
        return self._change_all(request, queryset, NewTag)

    def _change_all(
        self, request: HttpRequest, queryset: Any, kind: Callable[..., BulkForm]
    ) -> Any:
        """Ask for the value, and with `confirmed` apply it to each of the selected ones."""
        count = queryset.count()
        if count > MOST_CHANGED:
            text = _(
                "%(count)s conversations are selected, but at most %(most)s can be changed at "
                "once. Nothing was changed."
            )
            numbers = {"count": grouped(count), "most": grouped(MOST_CHANGED)}
            self.message_user(request, text % numbers, messages.ERROR)
            return None
        form = kind(request.POST if "confirmed" in request.POST else None)
        if form.is_valid():
            return self._apply(request, list(queryset), form)
        url = request.get_full_path()
        context = {
            "title": form.title,
            "form": form,
            "address": queryset.selection.index,
            "action": request.POST["action"],
            "selected": list(queryset),
            "checkbox": ACTION_CHECKBOX_NAME,
            "list_url": url,
        }
        return self.page(request, "conversation/bulk.html", context)

    def _apply(self, request: HttpRequest, selected: list[Conversation], form: BulkForm) -> None:
        count = 0
        with transaction.atomic():  # hundreds of entries of the history
            for conversation in selected:
                try:
                    driver = conversation.address.driver()
                    driver.excerpt(limit=1)  # what cannot be read is not changed
                    text = form.apply(driver, conversation)
                except ConversationError as error:
                    self.message_user(request, str(error), messages.WARNING)
                except ConversationMemoryError as error:  # as for all that follow
                    self.message_user(request, str(error), messages.ERROR)
                    break
                else:
                    self.log_change(request, conversation, text)
                    count += 1
        if not count:
            return
        text = ngettext(
            "%(count)s conversation was changed.", "%(count)s conversations were changed.", count
        )
        self.message_user(request, text % {"count": grouped(count)}, messages.SUCCESS)
