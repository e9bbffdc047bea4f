from __future__ import annotations

import uuid

from django import forms
from django.core.exceptions import ValidationError

MOST_LETTERS = 100_000


def short_enough(text: str) -> None:
    """Unlike with `max_length`, the browser does not cut what is pasted: the user decides."""
    if len(text) > MOST_LETTERS:
        raise ValidationError(
            f"Your message has {len(text):,} characters. Shorten it to {MOST_LETTERS:,}, "
            "or send it in parts."
        )


class MessageForm(forms.Form):
    """A message. The form carries its run id, so that a message sent twice is stored once."""

    text = forms.CharField(
        label="Message",
        validators=[short_enough],
        widget=forms.Textarea(
            attrs={"rows": 1, "placeholder": "Write a message…", "dir": "auto", "data-send": True}
        ),
    )
    run = forms.UUIDField(initial=uuid.uuid4, widget=forms.HiddenInput)

    @property
    def run_id(self) -> str:
        return self.cleaned_data["run"].hex


class NewConversationForm(MessageForm):
    """The first message; the form carries the conversation id for the same reason."""

    conversation = forms.UUIDField(initial=uuid.uuid4, widget=forms.HiddenInput)

    @property
    def conversation_id(self) -> str:
        return self.cleaned_data["conversation"].hex


class TitleForm(forms.Form):
    title = forms.CharField(
        max_length=200, widget=forms.TextInput(attrs={"dir": "auto", "autofocus": True})
    )
