"""Hostile values for property tests: ids, JSON values, and JSON texts as anyone may write them."""

import json

from hypothesis import strategies as st

from conversation_memory import Run

# What the quick reader of documents looks for: it must not find it in the content of a run.
LOOKALIKES = (
    '{"type": "Run", ',
    '{"type": "Run", "id": "b"}',
    ', {"type": "Run", "id": "b"}, ',
    '], "metadata": ',
    '{"runs": [',
)

texts = st.text(st.characters()) | st.sampled_from(
    [
        *LOOKALIKES,
        "",
        "\x00",
        "\ud800",
        "\udfff tail",
        "👩‍👩‍👧‍👦",
        "\u202eשלום\u200f",
        "\u2028\u2029",
        'tab\tquote"backslash\\slash/',
    ]
)
numbers = (
    st.integers()
    | st.floats()
    | st.sampled_from([10**30 - 1, -(2**63) - 1, 2**64, 1.0, -0.0, 0, 1, True, False])
)
values = st.recursive(
    st.none() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def _griptape_artifacts(draw, run_id, side):
    id = draw(texts | st.just(f"{run_id}-{side}"))
    return {
        "type": draw(st.just("TextArtifact") | st.sampled_from(["ErrorArtifact", "JsonArtifact"])),
        "id": id,
        "reference": draw(st.none() | values),
        "meta": draw(st.just({}) | values),
        "name": draw(st.just(id) | texts),
        "value": draw(texts | values),
    }


@st.composite
def griptape_runs(draw):
    """Runs with all members that Griptape writes, most of which are as it fills them in."""
    id = draw(texts)
    sides = {side: draw(_griptape_artifacts(id, side)) for side in ("input", "output")}
    return {"type": "Run", "id": id, "meta": draw(st.none() | values), **sides}


run_dicts = (
    griptape_runs()
    | st.fixed_dictionaries(
        {"type": st.just("Run"), "id": texts},
        optional={
            "meta": values | st.just({"type": "Run", "id": "inner"}),
            "input": st.fixed_dictionaries({"type": st.just("TextArtifact"), "value": texts}),
            "output": values,
            "unknown": values,
        },
    )
    | st.dictionaries(st.sampled_from(["type", "id", "meta"]), values)
)

ids = (
    st.text(st.characters(codec="utf-8"))
    | st.binary()
    | st.sampled_from(
        [
            "a b",
            "{a}",
            "}{",
            "a:b",
            "../a/b",
            "recent",
            ":recent",
            "record:a",
            "owner:a",
            "👩‍👩‍👧‍👦",
            "\u202eשלום",
            "\x00",
            b"\xff\xfe",
            "x" * 1024,
            b"\x80" * 1024,
        ]
    )
)

spaces = st.sampled_from(["", "", " ", "\n", "\t", "\r\n  "])
_pieces = (
    st.characters(min_codepoint=0x20, exclude_characters='"\\')
    | st.integers(0, 0xFFFF).map("\\u{:04x}".format)
    | st.integers(0, 0xFFFF).map("\\u{:04X}".format)
    | st.sampled_from([f"\\{character}" for character in '"\\/bfnrt'])
    | st.sampled_from([text.replace('"', '\\"') for text in LOOKALIKES])
)
string_texts = st.lists(_pieces, max_size=6).map(lambda pieces: '"{}"'.format("".join(pieces)))
plain_id_texts = st.lists(
    st.sampled_from(["a", "\\u0061", "\\u002d", "-", "0", "\\u005F"]), min_size=1, max_size=3
).map(lambda pieces: '"{}"'.format("".join(pieces)))
_literals = """
    null true false 0 -0 1 1.0 -0.0 1.50 1e400 -1E+2 NaN Infinity -Infinity
    123456789012345678901234567890 -9223372036854775809 18446744073709551616 [] {}
""".split()
_scalar_texts = (
    st.sampled_from([*_literals, '{"type": "Run", "id": "b"}', '{"runs": [{}], "metadata": {}}'])
    | string_texts
)


@st.composite
def array_texts(draw, items, max_size=3):
    texts = draw(st.lists(items, max_size=max_size))
    return draw(spaces).join(["[", *_with_commas(draw, texts), "]"])


@st.composite
def object_texts(draw, members, max_size=3):
    pairs = draw(st.lists(members, max_size=max_size))
    texts = [draw(spaces).join([key, ":", value]) for key, value in pairs]
    return draw(spaces).join(["{", *_with_commas(draw, texts), "}"])


def _with_commas(draw, texts):
    for position, text in enumerate(texts):
        if position:
            yield draw(spaces) + "," + draw(spaces)
        yield text


json_texts = st.recursive(
    _scalar_texts,
    lambda inner: array_texts(inner) | object_texts(st.tuples(string_texts, inner)),
    max_leaves=5,
)
_run_members = (
    st.tuples(st.just('"type"'), st.just('"Run"'))
    | st.tuples(st.sampled_from(['"id"', '"\\u0069d"']), plain_id_texts | string_texts)
    | st.tuples(st.sampled_from(['"type"', '"id"', '"meta"', '"input"', '"output"']), json_texts)
    | st.tuples(string_texts, json_texts)
)
run_texts = (
    object_texts(_run_members, max_size=4)
    | json_texts.map('{{"type": "Run", "meta": {}}}'.format)
    | json_texts.map(
        '{{"type": "Run", "id": "a", "meta": {}, '
        '"input": {{"type": "TextArtifact", "id": "a-input", "value": "q"}}, '
        '"output": {{"type": "TextArtifact", "id": "o", "value": "a"}}}}'.format
    )
    | griptape_runs().map(json.dumps)
    | griptape_runs().map(lambda run: json.dumps(run, ensure_ascii=False))
    | griptape_runs().map(lambda run: Run.from_dict(run).to_wire().decode())
)
metadata_texts = st.just("null") | object_texts(st.tuples(string_texts, json_texts))
_runs_members = st.tuples(st.sampled_from(['"runs"', '"\\u0072uns"']), array_texts(run_texts))
_metadata_members = st.tuples(st.just('"metadata"'), metadata_texts)
_members = _runs_members | _metadata_members | st.tuples(string_texts, json_texts)
_canonical_texts = st.builds(
    '{{"runs": [{}], "metadata": {}}}'.format,
    st.lists(run_texts, max_size=3).map(", ".join),
    metadata_texts,
)
document_texts = (
    _canonical_texts
    | st.tuples(spaces, object_texts(_members, max_size=5), spaces).map("".join)
    | st.tuples(_runs_members, _metadata_members).flatmap(
        lambda known: object_texts(st.sampled_from(known), max_size=4)
    )
)
documents = document_texts.map(lambda text: text.encode("utf-8", "surrogatepass"))
documents_in_any_encoding = st.builds(
    lambda text, encoding: text.encode(encoding, "surrogatepass"),
    document_texts,
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]),
)
