"""What the `meta` of a run tells under usual names: usage, feedback, an error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..collection.summaries import Summary
from ..messages import tool_calls
from ..runs import Run

# Of OpenAI, Anthropic, Griptape, pydantic-ai and LangChain, the first that is there counts.
_USAGES = ("usage", "token_usage", "usage_metadata", "response_metadata")
_MODELS = ("model", "model_name", "model_id")
_INPUTS = ("input_tokens", "prompt_tokens", "request_tokens", "input_token_count")
_OUTPUTS = ("output_tokens", "completion_tokens", "response_tokens", "output_token_count")
_TOTALS = ("total_tokens", "token_count")
_COSTS = ("cost", "total_cost", "cost_usd")
_SECONDS = ("latency", "latency_s", "latency_seconds", "duration", "duration_s", "elapsed")
_MILLISECONDS = ("latency_ms", "duration_ms", "elapsed_ms", "response_ms")
_LARGEST = 10**15

_UP = ("up", "thumbs_up", "positive", "like", "+1", "1", "True", "\U0001f44d")
_DOWN = ("down", "thumbs_down", "negative", "dislike", "-1", "0", "False", "\U0001f44e")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The models, tokens, seconds and cost of one or more runs; None for what is unknown.

    The cost is a number as stored: its currency is that of the project.
    """

    models: tuple[str, ...] = ()
    input: int | None = None
    output: int | None = None
    total: int | None = None
    seconds: float | None = None
    cost: float | None = None

    def __bool__(self) -> bool:
        return self != _NOTHING

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            models=tuple(dict.fromkeys([*self.models, *other.models])),
            input=_sum(self.input, other.input),
            output=_sum(self.output, other.output),
            total=_sum(self.total, other.total),
            seconds=_sum(self.seconds, other.seconds),
            cost=_sum(self.cost, other.cost),
        )


_NOTHING = Usage()


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """A user's judgement: `rating` is "up", "down" or as stored, if it is something else."""

    rating: str = ""
    comment: str = ""


def usage_of(run: Run) -> Usage:
    """What the `meta` of the run tells, else that of its output, at the top or under `usage`."""
    places = [*_places(run.meta), *_places(run.output.meta)]
    model = next((m for m in _values(places, _MODELS) if isinstance(m, str) and m), None)
    input, output = _number(places, _INPUTS), _number(places, _OUTPUTS)
    milliseconds = _number(places, _MILLISECONDS)
    seconds = _number(places, _SECONDS) if milliseconds is None else milliseconds / 1000
    total = _number(places, _TOTALS)
    return Usage(
        models=() if model is None else (model,),
        input=_whole(input),
        output=_whole(output),
        total=_sum(_whole(input), _whole(output)) if total is None else _whole(total),
        seconds=seconds,
        cost=_number(places, _COSTS),
    )


def feedback_of(run: Run) -> Feedback | None:
    """The key `feedback` of `meta`: a rating, or an object with `rating` and `comment`."""
    given = run.meta.get("feedback") if isinstance(run.meta, dict) else None
    given = given if isinstance(given, dict) else {"rating": given}
    rating, comment = (
        "" if value is None else str(value) for value in (given.get("rating"), given.get("comment"))
    )
    rating = "up" if rating in _UP else "down" if rating in _DOWN else rating
    return Feedback(rating=rating, comment=comment) if rating or comment else None


def has_error(run: Run) -> bool:
    is_told = isinstance(run.meta, dict) and bool(run.meta.get("error"))
    return is_told or run.output.type == "ErrorArtifact"


def _rated(rating: str) -> Callable[[Summary, Run], bool]:
    return lambda summary, run: getattr(feedback_of(run), "rating", "") == rating


RUN_TESTS: dict[str, Callable[[Summary, Run], bool]] = {
    "error": lambda summary, run: has_error(run),
    "up": _rated("up"),
    "down": _rated("down"),
    "comment": lambda summary, run: bool(getattr(feedback_of(run), "comment", "")),
    "tools": lambda summary, run: any(tool_calls(run)),
}


def _places(meta: Any) -> Iterator[Mapping[str, Any]]:
    """`meta` and the objects in it that tell a usage; LangChain nests one of them in another."""
    outer = [meta] if isinstance(meta, Mapping) else []
    inner = [_inside(one, key) for one in outer for key in _USAGES]
    innermost = [_inside(one, key) for one in inner for key in _USAGES]
    return filter(None, [*outer, *inner, *innermost])


def _inside(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, Mapping) else {}


def _values(places: list[Mapping[str, Any]], names: tuple[str, ...]) -> Iterator[Any]:
    return (place[name] for place in places for name in names if name in place)


def _number(places: list[Mapping[str, Any]], names: tuple[str, ...]) -> float | None:
    return next(filter(_is_number, _values(places, names)), None)


def _is_number(value: Any) -> bool:
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return is_one and 0 <= value < _LARGEST and math.isfinite(value)


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _sum(one: Any, other: Any) -> Any:
    return one if other is None else other if one is None else one + other
