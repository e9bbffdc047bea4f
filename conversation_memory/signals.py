"""What has happened to the conversations of an owner. The sender is `ConversationIndex`."""

from __future__ import annotations

from django.dispatch import Signal

# index: the ConversationIndex; owner: str; erasure: an Erasure, the receipt.
conversations_erased = Signal()

# index: the ConversationIndex; owner: str, to whom they belonged; conversations: int, how many.
conversations_anonymised = Signal()
