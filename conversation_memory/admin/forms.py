"""The form for the fields of a conversation that staff may change."""

import json
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib.admin import widgets
from django.forms.fields import InvalidJSONInput
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..models import Conversation
from ..rendering import label, visible
from ..titles import MAX_TITLE

_LONGEST = timedelta(days=365 * 300)


class MetadataField(forms.JSONField):
    """A JSON object, shown indented; characters that a page cannot hold stay escaped."""

    widget = widgets.AdminTextareaWidget
    default_error_messages = {
        "object": _("Enter a JSON object: keys and values in braces."),
        "deep": _("This is nested too deeply, or contains a number with too many digits."),
    }

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return super().prepare_value(value)
        text = json.dumps(value, ensure_ascii=False, indent=2)
        return text if visible(text) == text else json.dumps(value, indent=2)

    def bound_data(self, data: Any, initial: Any) -> Any:
        # Django's own field catches JSONDecodeError only.
        try:
            return super().bound_data(data, initial)
        except (RecursionError, ValueError):
            return InvalidJSONInput(data)

    def to_python(self, value: Any) -> Any:
        try:
            found = super().to_python(value)
        except (RecursionError, ValueError):  # ValueError: more digits than Python reads
            raise forms.ValidationError(self.error_messages["deep"], code="deep") from None
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise forms.ValidationError(self.error_messages["object"], code="object")
        return found


class ConversationForm(forms.ModelForm):  # type: ignore[type-arg]  # takes none at run time
    """Detects changes against the values that the page showed, not those stored in the meantime."""

    title = forms.CharField(
        label=_("Title"), required=False, max_length=MAX_TITLE, widget=widgets.AdminTextInputWidget
    )
    owner = forms.CharField(
        label=_("Owner"),
        required=False,
        max_length=1000,
        widget=widgets.AdminTextInputWidget,
        help_text=_("Usually the primary key of a user. Leave it empty if there is no owner."),
    )
    expires = forms.SplitDateTimeField(
        label=_("Expires"),
        required=False,
        widget=widgets.AdminSplitDateTime,
        help_text=_("Deleted at this time. Each new message extends it by the same period."),
    )
    metadata = MetadataField(label=_("Metadata"), required=False)

    class Meta:
        model = Conversation
        fields = ("title", "owner", "expires", "metadata")

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.stored: dict[str, Any] = getattr(self.instance, "metadata", {})
        self.initial["metadata"] = self.stored
        for field in self.fields.values():
            field.show_hidden_initial = True
        if "expires" in self.fields:  # Django leaves out fields that the user may only view
            date, time = self.fields["expires"].widget.widgets
            date.attrs["aria-label"], time.attrs["aria-label"] = _("Date"), _("Time")

    def clean_expires(self) -> datetime | None:
        expires: datetime | None = self.cleaned_data["expires"]
        if expires and "expires" in self.changed_data:
            if expires <= timezone.now():
                raise forms.ValidationError(_("Enter a time in the future."))
            if expires > timezone.now() + _LONGEST:
                raise forms.ValidationError(_("Enter a time within the next 300 years."))
        return expires

    def clean_metadata(self) -> Any:
        changes, removed = self.metadata_changes()
        shown, stored = self._shown_metadata(), self.stored
        lost = [key for key in (*changes, *removed) if differs(shown.get(key), stored.get(key))]
        if lost:
            raise forms.ValidationError(
                _("These keys were changed in the meantime: %(keys)s. Reload the page."),
                params={"keys": ", ".join(map(label, lost))},
            )
        return self.cleaned_data["metadata"]

    def metadata_changes(self) -> tuple[dict[str, Any], list[str]]:
        """The keys that the user has set, with their values, and those that were removed."""
        shown, metadata = self._shown_metadata(), self.cleaned_data["metadata"]
        changes = {
            key: value
            for key, value in metadata.items()
            if key not in shown or differs(value, shown[key])
        }
        return changes, [key for key in shown if key not in metadata]

    def _shown_metadata(self) -> dict[str, Any]:
        shown = self.data.get(self.add_initial_prefix("metadata"))
        try:
            return dict(self.fields["metadata"].to_python(shown) or {})
        except forms.ValidationError:
            return self.stored


def differs(one: Any, other: Any) -> bool:
    """True if two values differ as JSON, where 1, 1.0 and true are different."""
    return json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True)
