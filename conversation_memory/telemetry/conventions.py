"""The names by which OpenTelemetry's conventions for generative AI know our operations."""

from __future__ import annotations

import os

_CREATES = "append begin finish fork"
_UPSERTS = "store append_messages"
_UPDATES = "edit annotate update_metadata set_title rename move_to expire persist anonymise"
_DELETES = "delete remove truncate discard erase prune reap"
_SEARCHES = (
    "load read tail page excerpt raw find window messages recall record exists follow "
    "search facets activity titled recent select inspect ids count open_runs browse glance dump"
)

MEMORY_OPERATIONS = {
    **dict.fromkeys(_CREATES.split(), "create_memory"),
    **dict.fromkeys(_UPSERTS.split(), "upsert_memory"),
    **dict.fromkeys(_UPDATES.split(), "update_memory"),
    **dict.fromkeys(_DELETES.split(), "delete_memory"),
    **dict.fromkeys(_SEARCHES.split(), "search_memory"),
}


def follows_conventions() -> bool:
    """True if the environment opts in to those conventions, which are in development."""
    given = os.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").split(",")
    return "gen_ai_latest_experimental" in map(str.strip, given)
