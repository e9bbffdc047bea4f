"""Conversations that other libraries keep in Redis, as something to restore."""

from .peer_layouts import PEERS
from .peer_source import PeerSource

__all__ = ["PEERS", "PeerSource"]
