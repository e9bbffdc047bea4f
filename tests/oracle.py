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
    return [*map(as_griptape_reads, runs)], metadata or {}, document


def as_griptape_reads(run):
    """A run with the members that Griptape fills in, if there is nothing else to be said."""
    names = [name for name in run if name != "meta" or [*run].index("meta") != 2]
    if names != ["type", "id", "input", "output"] or run["type"] != "Run":
        return run
    artifacts = {"input": run["input"], "output": run["output"]}
    if not isinstance(run["id"], str) or not all(isinstance(it, dict) for it in artifacts.values()):
        return run
    if "meta" not in run and any(_artifact(it) is it for it in artifacts.values()):
        return run
    head = {"type": "Run", "id": run["id"], "meta": run.get("meta")}
    return head | {name: _artifact(artifact) for name, artifact in artifacts.items()}


def _artifact(data):
    if [*data] != ["type", "id", "value"] or data["type"] != "TextArtifact":
        return data
    id, value = data["id"], data["value"]
    if not isinstance(id, str) or not isinstance(value, str):
        return data
    return {"type": "TextArtifact", "id": id, "reference": None, "meta": {}, "name": id} | {
        "value": value
    }
