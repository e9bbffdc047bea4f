"""What a document holds by Python's own json, which knows nothing of our shortcuts."""

import json


def same(one, other):
    """Equality that knows NaN, and tells 1 from 1.0 from True, and one order from another."""
    return json.dumps(one) == json.dumps(other)


def expected(raw):
    """Runs, metadata and other members of a document; None if it is none."""
    try:
        document = json.loads(raw)
        runs, metadata = document.pop("runs", []), document.pop("metadata", {})
    except (AttributeError, RecursionError, TypeError, ValueError):
        return None
    are_dicts = isinstance(runs, list) and all(isinstance(run, dict) for run in runs)
    if not are_dicts or not isinstance(metadata, dict | None):
        return None
    return runs, metadata or {}, document
