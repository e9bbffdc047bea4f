"""Why a search may have missed runs: codes and numbers; the words are for staff, not for users."""

from collections.abc import Iterable
from dataclasses import dataclass

_SENTENCES = {
    # The state of the index.
    "off": "SEARCH is not switched on for this alias.",
    "denied": "The ACL of this user does not allow RediSearch: FT.INFO, FT.CREATE, FT.SEARCH, "
    "FT.AGGREGATE and FT._LIST are required.",
    "read_only": "There is no search index yet, and this server is read-only.",
    "absent": "This server has no RediSearch.",
    "database": "RediSearch indexes database 0 only.",
    "not_created": "RediSearch cannot create the index. {detail}",
    "partial": "This cluster returns only a part of the results.",
    "building": "RediSearch is still indexing ({count} % done).",
    "older": "Runs from before SEARCH was set are not searchable yet. Run reindexconversations.",
    "not_indexed": "Conversations that are not searchable yet: {count:,}. "
    "Run reindexconversations.",
    "partly_indexed": "Conversations that are only partly searchable: {count:,}. "
    "Run reindexconversations.",
    "lost": "Search documents that Redis lost: {count:,}. Run reindexconversations.",
    # A search with RediSearch.
    "unindexed": "These conversations are not searchable yet. Run reindexconversations.",
    "overwritten": "Conversations with hits have runs that are not searchable yet. "
    "Run reindexconversations.",
    "not_embedded": "Runs that are not embedded yet: {count:,}.",
    "damaged": "Runs that cannot be read: {count:,}.",
    "timeout": "The search took longer than one second and was stopped.",
    "changing": "The index kept changing during the search.",
    "prefix": "A prefix matches more words than RediSearch looks up; type more of its letters.",
    "approximate": "A phrase repeats a word or ends in *: the total may include runs that do not "
    "match exactly.",
    "shortened": "The query was truncated.",
    "invalid": "{detail}",
    "too_long": "The query is too long.",
    "warning": "RediSearch says: {detail}.",
    "shards": "Shards that could not be asked: {detail}.",
    # A search that reads the conversations.
    "encrypted": "The words of this index are encrypted: STORED_UNENCRYPTED of SEARCH has none.",
    "unread": "Conversations that were read so far: only {count:,}.",
    "earlier": "Earlier conversations were searched for the previous pages.",
    "unlisted": "Conversations that are not listed yet: {count:,}.",
    "unreadable": "Conversations that cannot be read: {count:,}.",
    "too_large": "Conversations too long to search: {count:,}.",
    "last_write": "Times are those of the last write to a conversation.",
    "no_likeness": "Without RediSearch, similar meanings are not found, only words.",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """A `code`, with the number of what is missing, or a `detail` from the server.

    It has no words of its own, as those who run the site need others than its users.
    """

    code: str
    count: int = 0
    detail: str = ""


Reasons = tuple[Reason, ...]


def unique(reasons: Iterable[Reason | None]) -> Reasons:
    """The reasons that there are, each once."""
    return tuple(dict.fromkeys(filter(None, reasons)))


def explained(reasons: Iterable[Reason | None]) -> str:
    """What staff are told: the reasons as sentences, with what to do about them."""
    return " ".join(
        _SENTENCES[reason.code].format(count=reason.count, detail=reason.detail)
        for reason in unique(reasons)
    )
