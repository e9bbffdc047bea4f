"""Spans and metrics of what is done with an index, without any text of a conversation."""

from .telemetry import Telemetry, is_installed

__all__ = ["Telemetry", "is_installed"]
