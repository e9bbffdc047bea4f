from __future__ import annotations

import uuid

from django import forms


class MessageForm(forms.Form):
    """A message. The form carries its run id, so that a message sent twice is stored once."""

    text = forms.CharField(
        label="Message",
        max_length=20_000,
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
