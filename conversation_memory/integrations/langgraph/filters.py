"""What a search of a store filters by, and which namespaces a listing names."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from langgraph.store.base import MatchCondition

_EQUAL = {"$eq": operator.eq, "$ne": operator.ne}
_ORDER = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}


def are_match(value: Mapping[str, Any], filter: Mapping[str, Any]) -> bool:
    """True if all members of `value` are as the filter says."""
    return all(_is_as(value.get(name), wanted) for name, wanted in filter.items())


def _is_as(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        if any(name.startswith("$") for name in wanted):
            return all(_compared(value, name, one) for name, one in wanted.items())
        return isinstance(value, Mapping) and are_match(value, wanted)
    if isinstance(wanted, list | tuple):
        is_list = isinstance(value, list | tuple) and len(value) == len(wanted)
        return is_list and all(map(_is_as, value, wanted))
    return bool(value == wanted)


def _compared(value: Any, name: str, wanted: Any) -> bool:
    if compare := _EQUAL.get(name):
        return bool(compare(value, wanted))
    order: Callable[[Any, Any], Any] | None = _ORDER.get(name)
    if order is None:
        names = ", ".join([*_EQUAL, *_ORDER])
        raise ValueError(f"{name!r:.50} is not an operator of a filter. Choose one of {names}.")
    try:
        return bool(order(float(value), float(wanted)))
    except (TypeError, ValueError):  # of an item without that number
        return False


def is_match(condition: MatchCondition, namespace: tuple[str, ...]) -> bool:
    """True for a namespace that begins or ends as the condition says; `*` is any label."""
    path = condition.path
    if condition.match_type not in ("prefix", "suffix"):
        raise ValueError(f"{condition.match_type!r:.50} is not a match. Choose prefix or suffix.")
    start = 0 if condition.match_type == "prefix" else len(namespace) - len(path)
    part = namespace[start : start + len(path)]
    return start >= 0 and len(part) == len(path) and all(map(_is_label, part, path))


def _is_label(label: str, wanted: str) -> bool:
    return wanted in ("*", label)
