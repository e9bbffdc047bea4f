"""JSON as it stands in Redis: written, read with a limit of depth, and taken apart."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from json.encoder import encode_basestring
from typing import Any
from zlib import crc32

from .encryption.sealing import is_sealed, key_of
from .exceptions import Damaged, Undecryptable

# Far below what Python's json can read, so that every reader can, however deep its own stack is.
MAX_DEPTH = 200
# Other programs may have stored deeper values. Python 3.13 reads deeper ones than it can compare
# or write, 3.11 fails at about 900, depending on the stack.
_READABLE_DEPTH = 500

_strings = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_no_brackets = bytes({*range(256)} - {*b"[]{}"})

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]

_readers: list[Callable[[bytes], Any]] = [*([orjson.loads] if orjson else []), json.loads]

_MARK = -7

# orjson rounds integers of more digits than 64 bits have.
_LONG = b"0" * 19
_zeros = bytes(48 if byte in b"0123456789" else 32 for byte in range(256))

_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_space = re.compile(r"[ \t\n\r]*").match
_comma = re.compile(r"[ \t\n\r]*,[ \t\n\r]*").match


_encoded = json.JSONEncoder(ensure_ascii=False).encode
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_ascii = json.JSONEncoder(separators=(",", ":"))

# Both write a string in the same way. orjson does in a tenth of the time.
_string: Callable[[str], bytes] = (
    orjson.dumps if orjson else lambda text: encode_basestring(text).encode()
)


def dumps(value: Any, *, compact: bool = False) -> bytes:
    """`value` as JSON in UTF-8, with Griptape's separators unless `compact`, NaN as `NaN`.

    Raises ValueError if it is nested more than `MAX_DEPTH` levels deep.
    """
    text = dumps_unchecked(value, compact=compact)
    if _depth(text) > MAX_DEPTH:
        raise too_deep()
    return text


def dumps_unchecked(value: Any, *, compact: bool = False) -> bytes:
    """See dumps(), without the limit of depth."""
    try:
        return (_compact.encode if compact else _encoded)(value).encode()
    except UnicodeEncodeError:  # UTF-8 has no lone surrogates
        return (_ascii.encode(value) if compact else json.dumps(value)).encode()
    except RecursionError:
        raise too_deep() from None


def literals(texts: Sequence[str]) -> list[bytes]:
    """JSON texts of strings."""
    try:
        return [*map(_string, texts)]
    except (UnicodeEncodeError, TypeError):  # orjson raises a TypeError
        return [json.dumps(text).encode() for text in texts]


def _depth(text: bytes) -> int:
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:  # too few to be nested too deeply
        return 0
    brackets = _strings.sub(b"", text).translate(None, _no_brackets)
    return max(accumulate(1 if bracket in b"[{" else -1 for bracket in brackets), default=0)


def too_deep() -> ValueError:
    return ValueError(f"A value nested more than {MAX_DEPTH} levels deep cannot be stored.")


def loads(raw: bytes) -> dict[str, Any]:
    """The object of a stored JSON text. Raises `Damaged` if it is not an object."""
    value = loads_any(raw)
    if not isinstance(value, dict):
        raise Damaged("it is not an object", raw)
    return value


def loads_compact(raw: bytes) -> dict[str, Any]:
    """See loads(). Quicker if dumps() wrote the text with `compact`."""
    with suppress(ValueError, TypeError):
        # Read as json does, to the last digit, if orjson writes the same text again.
        if orjson and orjson.dumps(value := orjson.loads(raw)) == raw and isinstance(value, dict):
            return value
    return loads(raw)


def loads_any(raw: bytes) -> Any:
    """The value of a stored JSON text. Raises `Damaged` if it is not JSON."""
    if _depth(raw) > _READABLE_DEPTH:
        raise damage(RecursionError(), raw)
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise damage(error, raw) from None


def loads_together(texts: Sequence[bytes]) -> list[Any] | None:
    """The values of JSON texts, read at a time; None if they must be read one by one.

    Only their strings are exact: orjson, if it is installed, rounds large integers. Any depth.
    """
    # Without a number between them, two damaged texts could be two values together.
    joined, between = b"[%b]" % (b",%d," % _MARK).join(texts), max(0, len(texts) - 1)
    for read in _readers:
        with suppress(ValueError, RecursionError):  # orjson reads no NaN and no lone surrogate
            values = read(joined)
            # A damaged text can hold a part of a value, or two.
            is_whole = len(values) == len(texts) + between
            return values[::2] if is_whole and values[1::2].count(_MARK) == between else None
    return None


def exact(texts: Sequence[bytes], values: Sequence[Any]) -> Iterator[bool]:
    """Of each text, whether loads_together() has read it as json does, to the last digit.

    It has if orjson writes the same texts again, or if they have no long number.
    """
    with suppress(TypeError):  # orjson writes nothing deep
        is_compact = bool(texts) and texts[0].startswith(b"[")
        if orjson and is_compact and orjson.dumps(values) == b"[%b]" % b",".join(texts):
            return iter([True] * len(texts))
    return map(is_harmless, texts)


def is_harmless(text: bytes) -> bool:
    """True if loads_together() reads a JSON text to the last digit."""
    is_shallow = text.count(b"[") + text.count(b"{") <= MAX_DEPTH
    return is_shallow and _LONG not in text.translate(_zeros)


def quick_text(value: Any) -> bytes:
    """The compact JSON of a value. With orjson and without, that of few values is not the same."""
    with suppress(TypeError):  # orjson writes no large integer, and no lone surrogate
        if orjson:
            return orjson.dumps(value)
    return dumps_unchecked(value, compact=True)


def fingerprint(raw: bytes) -> str:
    """Length and checksum of a stored document: any write changes it, by whatever program."""
    return f"{len(raw)}-{tail_of(raw)}" if is_sealed(raw) else fingerprint_of(len(raw), crc32(raw))


def fingerprint_of(length: int, checksum: int) -> str:
    return f"{length}-{checksum:08x}"


def tail_of(sealed: bytes) -> str:
    """The tag at the end of a sealed document, which is as good as a checksum."""
    return sealed[-22:].decode("ascii", "replace")


def damage(error: ValueError | RecursionError, raw: bytes) -> Damaged:
    """The error for a stored text that json does not read."""
    if is_sealed(raw):
        id = key_of(raw)
        why = "which the ENCRYPTION of this alias does not have, or does not decrypt it with"
        return Undecryptable(f"it is encrypted with key {id!r}, {why}", raw, id)
    if isinstance(error, RecursionError):
        return Damaged("it is nested too deeply", raw)
    if isinstance(error, UnicodeDecodeError):
        return Damaged(f"byte {error.start} is not text in {error.encoding}", raw)
    if isinstance(error, json.JSONDecodeError):
        return Damaged(f"{error.msg} at character {error.pos}", raw)
    return Damaged(str(error), raw)  # a number of more digits than Python reads


def members_of(text: str) -> Iterator[tuple[str, Any, int, int]]:
    """Key, value, start and end of each member; the value of `runs` is that of each run."""
    position = _after(text, 0, "{")
    while text[position : position + 1] != "}":
        key, position = _value(text, position)
        if not isinstance(key, str):
            raise Damaged("a key is not a string")
        start = _after(text, position, ":")
        is_runs = key == "runs" and text[start : start + 1] == "["
        value, end = _elements(text, start) if is_runs else _value(text, start)
        yield key, value, start, end
        position = _next(text, end, "}")
    if _skip(text, position + 1) != len(text):
        raise Damaged(f"extra data at character {position + 1}")


def _elements(text: str, position: int) -> tuple[list[tuple[Any, int, int] | None], int]:
    """Value, start and end of each element, None if it is not an object; the end of the list."""
    spans: list[tuple[Any, int, int] | None] = []
    position = _skip(text, position + 1)
    while text[position : position + 1] != "]":
        value, end = _value(text, position)
        spans.append((value, position, end) if isinstance(value, dict) else None)
        # Nearly every separator is Griptape's own, which one comparison finds.
        position = end + 2 if text.startswith(", {", end) else _next(text, end, "]")
    return spans, position + 1


def _value(text: str, position: int) -> tuple[Any, int]:
    try:
        return _scan(text, position)
    except StopIteration:
        raise Damaged(f"no JSON value at character {position}") from None


def _skip(text: str, position: int) -> int:
    return _space(text, position).end()  # type: ignore[union-attr]  # it matches the empty string


def _after(text: str, position: int, character: str) -> int:
    """Where the next token starts after the `character` at `position`, or behind spaces."""
    position = _skip(text, position)
    if text[position : position + 1] != character:
        raise Damaged(f"expected {character!r} at character {position}")
    return _skip(text, position + 1)


def _next(text: str, position: int, closing: str) -> int:
    """Where the next element or the closing character is, after one that ends at `position`."""
    if comma := _comma(text, position):
        position = comma.end()
        if text[position : position + 1] == closing:
            raise Damaged(f"no JSON value at character {position}")
        return position
    position = _skip(text, position)
    if text[position : position + 1] != closing:
        raise Damaged(f"expected ',' or {closing!r} at character {position}")
    return position
