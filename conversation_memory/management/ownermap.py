"""The file that says which owner becomes which."""

from __future__ import annotations

import csv
import json
from pathlib import Path


def owner_map(path: str) -> dict[str, str]:
    """Old owner -> new owner, "" for nobody, from a JSON object or from CSV with two columns.

    A first line `old,new` of CSV is a heading. Raises ValueError or OSError.
    """
    try:
        text = Path(path).read_text("utf-8-sig")
        pairs = _from_json(text) if text.lstrip().startswith("{") else _from_csv(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path!r} is no map of owners: {error}.") from None
    owners = dict(pairs)
    if len(owners) < len(pairs):
        raise ValueError(f"{path!r} is no map of owners: it names an owner twice.")
    return owners


def _from_json(text: str) -> list[tuple[str, str]]:
    pairs = json.loads(text, object_pairs_hook=list)
    if not all(isinstance(new, str | int | None) for _, new in pairs):
        raise ValueError("an owner is neither a text nor a number")
    return [(old, "" if new is None else str(new)) for old, new in pairs]


def _from_csv(text: str) -> list[tuple[str, str]]:
    rows = [row for row in csv.reader(text.splitlines()) if row]
    if any(len(row) != 2 for row in rows):
        raise ValueError("a line has not two columns")
    if rows and rows[0] == ["old", "new"]:
        del rows[0]
    return [(old.strip(), new.strip()) for old, new in rows]
