"""STORED_UNENCRYPTED of SEARCH: what search documents of an encrypted index hold unencrypted."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

# The names that STORED_UNENCRYPTED takes besides those of FIELDS: of texts, and of vectors.
TEXTS = ("input", "output", "tool_calls")
EMBEDDINGS = "embeddings"


def opt_in_faults(where: str, search: Any) -> Iterator[str]:
    """The errors of SEARCH in an entry `where` that has ENCRYPTION, one sentence each."""
    options = search if isinstance(search, Mapping) else {}
    chosen, fields = options.get("STORED_UNENCRYPTED"), options.get("FIELDS", {})
    if chosen is None:
        yield (
            f"{where} has both ENCRYPTION and SEARCH: search documents would hold words of the "
            "conversations unencrypted, for anyone who reads Redis. Say in STORED_UNENCRYPTED of "
            "SEARCH what they may hold: 'input', 'output', names of FIELDS, or [] for nothing. Or "
            "remove SEARCH: then searches decrypt and read."
        )
        return
    if not isinstance(chosen, list | tuple) or not all(isinstance(name, str) for name in chosen):
        yield f"STORED_UNENCRYPTED in SEARCH of {where} must be a list of names."
        return
    if isinstance(fields, Mapping):
        yield from _name_faults(f"STORED_UNENCRYPTED in SEARCH of {where}", chosen, fields)
        yield from _lacking(f"SEARCH of {where}", options, chosen, fields)


def _name_faults(where: str, chosen: Collection[str], fields: Mapping[Any, Any]) -> Iterator[str]:
    known = (*TEXTS, EMBEDDINGS)
    for name in chosen:
        if name not in known and name not in fields:
            choice = ", ".join(map(repr, (*known, *fields)))
            yield f"{where} has an unknown name {name!r}; choose from {choice}."
    for name in known:
        if name in fields:
            yield f"{where} takes {name!r} for texts or vectors: rename this one of FIELDS."


def _lacking(
    where: str, options: Mapping[Any, Any], chosen: Collection[str], fields: Mapping[Any, Any]
) -> Iterator[str]:
    """What cannot be searched without being stored unencrypted, and is not in `chosen`."""
    for option, name in (("TOOL_CALLS", "tool_calls"), ("EMBED", EMBEDDINGS)):
        if options.get(option) and name not in chosen:
            yield f"{option} in {where} requires {name!r} in STORED_UNENCRYPTED."
        if name in chosen and not options.get(option):
            yield f"STORED_UNENCRYPTED in {where} has {name!r}, which requires {option}."
    for name, kind in fields.items():
        if kind != "tag" and name not in chosen:
            yield (
                f"FIELDS in {where} has {name!r} of the kind {kind!r}, which RediSearch must read: "
                "name it in STORED_UNENCRYPTED, or make it a 'tag', which is compared as a whole."
            )
