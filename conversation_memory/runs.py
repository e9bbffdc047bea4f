"""Run: one exchange of a conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import zip_longest
from typing import Any
from uuid import uuid4

from .artifacts import Artifact, PlainText, artifact, wrap
from .compact import (
    Parts,
    expanded,
    is_plain,
    is_short,
    list_text,
    plain_parts,
    quick_list_text,
    quick_wire_text,
    short_text_of,
    shortened,
    side_of,
    spellings,
    text_of_side,
    wire_text,
)
from .exceptions import Damaged, Undecryptable
from .wire import dumps, dumps_unchecked, exact, loads, loads_any, loads_together


class Run:
    """One exchange of a conversation: what went in, what came out.

    `input` and `output` take a text, an `Artifact`, a dict of the wire format or an object with
    such a `to_dict()` (Griptape's). `meta` is for your own data: any JSON, or None. `id` decides
    whether an append is a repetition; a fresh uuid4 in hex by default.

    A run that was loaded is decoded when it is first looked at, and written back as the very bytes
    that were read unless it was changed.
    """

    # The text that was read; what it says, as decoded; and the dict that was handed out, which may
    # have been changed since.
    __slots__ = ("_data", "_raw", "_replaced", "_value")

    _data: dict[str, Any] | None
    _replaced: dict[str, Any]  # by side, what other code may still hold an artifact of
    _raw: bytes | None
    _value: Any

    def __init__(
        self, input: Any, output: Any, meta: dict[str, Any] | None = None, *, id: str | None = None
    ):
        id = id or uuid4().hex
        self._raw = self._value = self._data = None
        if isinstance(input, str) and isinstance(output, str) and isinstance(id, str):
            self._value = [id, input, output] if meta is None else [id, input, output, meta]
        else:
            self._data = {
                "type": "Run",
                "id": id,
                "meta": meta,
                "input": side_of(id, "input", input),
                "output": side_of(id, "output", output),
            }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Run:
        """The run that `data` is on the wire; every key is kept, known or not."""
        run = cls.__new__(cls)
        run._raw, run._value, run._data = None, None, data
        return run

    @classmethod
    def from_text(cls, raw: bytes) -> Run:
        """The run of a stored JSON text, which is decoded when it is first looked at."""
        run = cls.__new__(cls)
        run._raw, run._value, run._data = raw, None, None
        return run

    def to_dict(self) -> dict[str, Any]:
        """The dict on the wire itself: what you change in it is changed in the run.

        Raises `ConversationCorrupt` if the stored text is not a run.
        """
        if self._data is None:
            parts = self._short()
            self._data = self._exactly() if parts is None else expanded(parts)
        return self._data

    def _said(self) -> Any:
        """What the text says, decoded now if need be."""
        if self._value is None:
            self._value = self._decode()._value
        return self._value

    def glance(self) -> tuple[str | None, str | None, Any]:
        """The texts of both sides, None for one that is not a text, and the meta, only to be read.

        Quicker than `input`, `output` and `meta`, as it makes no object of them.
        """
        value = self._said() if self._data is None else self._data
        if type(value) is list:
            meta = value[3] if len(value) > 3 else None
            return short_text_of(value[1]), short_text_of(value[2]), meta
        input, output = value.get("input"), value.get("output")
        return text_of_side(input), text_of_side(output), value.get("meta")

    def _short(self) -> Parts | None:
        """The run in short; None if that would lose something."""
        value = self._exactly()
        return value if type(value) is list else shortened(value)

    def _exactly(self) -> Any:
        """What the text says, with the members of an object that plain_parts() has left out."""
        value, raw = self._said(), self._raw
        return loads(raw) if type(value) is list and raw and raw.lstrip()[:1] == b"{" else value

    def _decode(self) -> Run:
        return decoded_run(self._raw or b"", "a stored run")

    def to_wire(self) -> bytes:
        """The JSON text of the run in the wire format."""
        return _text(self, wire_text, b"{")

    def to_list(self) -> bytes:
        """The JSON text of the run in a list: an array, unless only the object gives it back."""
        return _text(self, list_text, b"[")

    @property
    def stored_in_list(self) -> bytes | None:
        """The text of a run as it was read from a list; None if it may have been changed since."""
        raw = self._raw
        return raw if self._data is None and raw is not None and raw.startswith(b"[") else None

    def with_id(self, id: str) -> Run:
        """The same run with another id; a new one comes behind the type, as in Griptape."""
        data = self.to_dict()
        opening = {"type": data["type"], "id": id} if next(iter(data), "") == "type" else {}
        return Run.from_dict({**({} if "id" in data else opening), **data, "id": id})

    @property
    def id(self) -> str:
        value = self._said() if self._data is None else self._data
        id = value[0] if type(value) is list else value.get("id")
        return "" if id is None else str(id)

    @property
    def meta(self) -> dict[str, Any] | None:
        if self._data is None and type(self._value) is list and len(self._value) == 3:
            return None
        return self.to_dict().get("meta")

    @meta.setter
    def meta(self, meta: dict[str, Any] | None) -> None:
        self.to_dict()["meta"] = meta

    @property
    def input(self) -> Artifact:
        value = self._value
        if self._data is None and type(value) is list and type(text := value[1]) is str:
            part: PlainText = PlainText()
            part._run, part._side, part._plain = self, "input", text
            return part
        return self._artifact("input", 1)

    @input.setter
    def input(self, value: Any) -> None:
        self._replace("input", artifact(value))

    @property
    def output(self) -> Artifact:
        value = self._value
        if self._data is None and type(value) is list and type(text := value[2]) is str:
            part: PlainText = PlainText()
            part._run, part._side, part._plain = self, "output", text
            return part
        return self._artifact("output", 2)

    @output.setter
    def output(self, value: Any) -> None:
        self._replace("output", artifact(value))

    def _replace(self, side: str, new: dict[str, Any]) -> None:
        data = self.to_dict()
        if not hasattr(self, "_replaced"):
            self._replaced = {}
        self._replaced.setdefault(side, data.get(side))
        data[side] = new

    def first_side(self, side: str) -> dict[str, Any]:
        """The dict of a side as it was before any other took its place."""
        data = self.to_dict()
        replaced: Any = getattr(self, "_replaced", data)
        return replaced.get(side, data.get(side))  # type: ignore[no-any-return]

    def _artifact(self, side: str, position: int) -> Artifact:
        if self._data is None:
            value = self._value or self._said()
            is_short = type(value) is list
            text = short_text_of(value[position]) if is_short else text_of_side(value.get(side))
            if text is not None:
                part: PlainText = PlainText()
                part._run, part._side, part._plain = self, side, text
                return part
        return wrap(self.to_dict().get(side))

    def __repr__(self) -> str:
        return f"<Run {self.id}>"  # never the content

    def __eq__(self, other: object) -> bool:
        return self.to_dict() == other.to_dict() if isinstance(other, Run) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # mutable


_new = Run.__new__

# More texts at a time take more memory than malloc() keeps: the system has to map it each time.
_AT_A_TIME = 100


def decoded_runs(
    texts: Sequence[bytes], start: int = 0, values: Sequence[Any] | None = None
) -> list[Run]:
    """The runs of stored JSON texts, the first at position `start`; `values` if they are known.

    Raises `Damaged`, naming the run.
    """
    runs = _together(texts, values)
    for number, run in enumerate(runs):
        if run is None:
            runs[number] = decoded_run(texts[number], f"run {start + number}")
    return runs  # type: ignore[return-value]


def lenient(texts: Sequence[bytes], values: Sequence[Any] | None = None) -> list[Run]:
    """See decoded_runs(), but a damaged run is an error only when it is looked at."""
    runs = _together(texts, values)
    return [
        Run.from_text(raw) if run is None else run for raw, run in zip(texts, runs, strict=True)
    ]


def wire_texts(texts: Sequence[bytes]) -> list[bytes]:
    """The runs of stored JSON texts in the wire format, damaged ones as they are."""
    return _rewritten(texts, quick_wire_text, Run.to_wire)


def list_texts(texts: Sequence[bytes]) -> list[bytes]:
    """The runs of stored JSON texts as they stand in a list, damaged ones as they are."""
    return _rewritten(texts, quick_list_text, Run.to_list)


def _rewritten(
    texts: Sequence[bytes],
    quick: Callable[[bytes, Any], bytes | None],
    usual: Callable[[Run], bytes],
) -> list[bytes]:
    values = loads_together(texts)
    found = [] if values is None else [*map(quick, texts, values)]
    known = [text for text in found if text is not None]
    if len(known) == len(texts):
        return known
    runs = lenient(texts, values)
    return [text or usual(run) for text, run in zip_longest(found, runs)]


def _together(texts: Sequence[bytes], values: Sequence[Any] | None) -> list[Run | None]:
    """The runs of texts that can be decoded at a time; None for each other one."""
    runs: list[Run | None] = []
    for start in range(0, len(texts), _AT_A_TIME):
        part = slice(start, start + _AT_A_TIME)
        runs += _part_of(texts[part], None if values is None else values[part])
    return runs


def _part_of(texts: Sequence[bytes], values: Sequence[Any] | None) -> Iterable[Run | None]:
    values = loads_together(texts) if values is None else values
    if values is None:
        return [None] * len(texts)
    if all(map(is_plain, values)):
        return map(_known, texts, values)
    plain = [*map(plain_parts, values)]
    if all(plain):
        return map(_known, texts, plain)
    sure = exact(texts, values)  # of others, only the strings are sure to be exact
    known = (
        parts or (value if is_exact and (type(value) is dict or is_short(value)) else None)
        for parts, is_exact, value in zip(plain, sure, values, strict=True)
    )
    return [
        None if value is None else _known(raw, value)
        for raw, value in zip(texts, known, strict=True)
    ]


def _known(raw: bytes, value: Any) -> Run:
    run = _new(Run)
    run._raw, run._value, run._data = raw, value, None
    return run


def decoded_run(raw: bytes, name: str) -> Run:
    """The run of a stored JSON text. Raises `Damaged`, naming it."""
    try:
        value = loads_any(raw)
        if type(value) is not dict and not is_short(value):
            raise Damaged("it is not an object", raw)
    except Undecryptable:  # it says why, and needs to be told from damage
        raise
    except Damaged as error:
        raise Damaged(f"{name} is damaged: {error.reason}", raw) from None
    return _known(raw, value)


def _text(run: Run, form: Callable[[Parts], bytes], opening: bytes) -> bytes:
    """The text of a run in the form `form`, whose texts begin with `opening`."""
    raw, data = run._raw, run._data
    if raw is None:
        parts = run._value if data is None else shortened(data)
        return form(parts) if parts is not None else dumps(data)
    # As text, because 1 == 1.0 == True in Python. Of any depth: others may have stored it.
    if data is not None and dumps_unchecked(data) != dumps_unchecked(run._decode().to_dict()):
        return _text(Run.from_dict(data), form, opening)
    if raw.startswith(opening):
        return raw
    with suppress(Damaged):
        parts = run._short()
        # Only an equal text proves that no digit of a number and no repeated key is lost.
        if parts is not None and (raw.startswith(b"[") or raw in spellings(parts)):
            return form(parts)
    return raw


def as_run(value: Any) -> Run:
    """The Run of a Run, a dict of the wire format, or an object with such a `to_dict()`."""
    if isinstance(value, Run):
        return value
    if isinstance(value, Mapping):
        return Run.from_dict(dict(value))
    if hasattr(value, "to_dict"):
        return Run.from_dict(value.to_dict())
    raise TypeError(f"A run is a Run or a dict, not {type(value).__name__}.")


def estimate_tokens(run: Run) -> int:
    """About how many tokens a run has, at four characters each."""
    return (len(run.input.text) + len(run.output.text)) // 4 + 1
