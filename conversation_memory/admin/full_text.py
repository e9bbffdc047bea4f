"""The search of messages, of an index that has it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..browse.queries import Span
from ..indexes import ConversationIndex
from ..keys import encode

# Each comes with its run, of about 1 kB.
MOST_HITS = 200


@dataclass(frozen=True, slots=True)
class TextFinds:
    """The best hit of each conversation by its id, best first.

    `total` is how many runs were found, `shown` how many of them these are from. `reason` says why
    there may be more, if so.
    """

    hits: dict[bytes, Any]
    total: int = 0
    shown: int = 0
    reason: str = ""


def full_text(index: ConversationIndex, text: str, span: Span) -> TextFinds | None:
    """The conversations with `text` in a message; None if the index has no search."""
    if index.settings.search is None:
        return None
    since, until = _time(span.since), _time(span.until)
    try:
        results = index.search(text, owner=span.owner, since=since, until=until, limit=MOST_HITS)
    except ValueError as error:
        return TextFinds({}, reason=str(error))
    hits = {encode(found.conversation_id): found.hits[0] for found in results.conversations}
    return TextFinds(hits, results.total, len(results), results.reason)


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
