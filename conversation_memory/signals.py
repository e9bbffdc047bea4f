"""Signals about the conversations of an owner. The sender is `ConversationIndex`."""

from django.dispatch import Signal

# index: the ConversationIndex; owner: str; erasure: an Erasure with the counts.
conversations_erased = Signal()

# index: the ConversationIndex; owner: str, the former owner; conversations: int, their number.
conversations_anonymised = Signal()
