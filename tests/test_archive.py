import gzip
import io
import json
import random
import time
import tracemalloc
from base64 import b64encode

import pytest
import zstandard
from django.test import SimpleTestCase
from hypothesis import given, settings
from hypothesis import strategies as st

from conversation_memory import Run
from conversation_memory.archive import Chats, format, open_archive, reading
from conversation_memory.exceptions import ArchiveDamaged, ArchiveTooLarge, NotAnArchive

from . import strategies
from .archives import Entry, Facts, archive_of, body, entry_of, opened

RUN = Run("a question", "an answer", id="a")
numbers = st.none() | st.integers(0, 2**53 - 1)
names = (
    st.none()
    | st.binary(min_size=1)
    | st.text(min_size=1).map(lambda t: t.encode("utf-8", "replace"))
)


def sample():
    return archive_of(*(entry_of(f"c{n}", [RUN], facts=Facts(owner=b"7")) for n in range(5)))


def refused(archive, *says, kind=ArchiveDamaged, **options):
    with pytest.raises(kind) as caught:
        with opened(archive, **options):
            pass
    for words in says:
        assert words in str(caught.value), str(caught.value)


class LineTests(SimpleTestCase):
    @given(
        strategies.ids,
        st.binary(),
        st.builds(Facts, names, names.map(lambda n: n or b""), numbers, numbers, numbers),
        numbers,
        numbers,
        st.lists(st.binary()),
    )
    def test_whatever_is_stored_comes_back_as_the_same_bytes(
        self, id, value, facts, expires, score, texts
    ):
        id = id if isinstance(id, bytes) else id.encode()
        checksum = format.zlib.crc32(value)
        entry = Entry(
            id, value, checksum, facts=facts, expires=expires, score=score, texts=tuple(texts)
        )
        line = format.entry_line(entry)
        assert format.read_entry(line) == entry
        assert line.count(b"\n") == 1
        assert line.isascii()
        json.loads(line)

    @given(
        st.sampled_from(["42", "a b", "a\\b", 'a"b', "a\\", "\\", "ä", "…\n", "", "\x7f"]),
        st.builds(
            Facts,
            st.sampled_from([None, b"7", b'"', b"\xff"]),
            st.sampled_from([b"", b"Boats", b'Two "boats"', b'\\"', "Böte 🚣…".encode()]),
            *[st.sampled_from([None, 0, 7, 1795714913889, 10**15, 2**53 - 1])] * 3,
        ),
        *[st.sampled_from([None, 0, 1795714913889])] * 2,
    )
    def test_usual_lines_are_read_as_all_others(self, id, facts, expires, score):
        entry = entry_of(id, [RUN], facts=facts, expires=expires, score=score)
        line = format.entry_line(entry)
        assert format.read_entry(line) == format._read_any(line) == entry

    def test_usual_lines_with_wrong_escapes_are_no_entry(self):
        line = format.entry_line(entry_of("…", [RUN], facts=Facts(None, b"", 1, 2)))
        for wrong in (rb"\ud800", rb"\u202", rb"\x2026"):
            changed = line.replace(rb"\u2026", wrong)
            with self.subTest(wrong), pytest.raises(format.Malformed, match="not JSON"):
                format.read_entry(changed)

    def test_a_conversation_stands_in_its_line_as_json(self):
        line = json.loads(format.entry_line(entry_of("a", [RUN])))
        assert line["id"] == "a"
        assert line["value"]["runs"][0]["input"]["value"] == "a question"

    def test_what_has_a_line_break_or_another_encoding_is_kept_exactly(self):
        text = '{"runs": [],\n "metadata": {}}'
        for value in (text.encode(), text.encode("utf-16"), text.encode("utf-8-sig"), b"\xff{}"):
            entry = Entry(b"a", value, format.zlib.crc32(value), runs=0)
            assert format.read_entry(format.entry_line(entry)) == entry

    def test_members_of_the_wrong_type_are_no_entry(self):
        for head in (
            b'{"id": 1', b'{"id": {}', b'{"id": null', b'{"record": {}', b'{"id": "a", "list": [1]',
            b'{"id": "a", "record": []',
            b'{"id": "a", "expires": -1', b'{"id": "a", "score": true', b'{"id": "a", "list": 5',
            b'{"id": "a", "list": ["b"]', b'{"id": "a", "more": 1', b'{"id": "\\ud800"',
            b'{"id": "a", "record": {"owner": 7}', b'{"id": "a", "record": {"version": 7}',
            b'{"id_base64": "?"', b'{"id": "a", "runs": ' + b"9" * 5000, b"[" * 100_000,
        ):  # fmt: skip
            checksum = format.zlib.crc32(head, format.zlib.crc32(b"x"))
            line = head + b', "crc32": "%08x", "text": "x"}\n' % checksum
            with self.subTest(head[:40]), pytest.raises(format.Malformed):
                format.read_entry(line)


class DamageTests(SimpleTestCase):
    def test_a_sound_archive_is_read(self):
        with opened(sample()) as archive:
            assert archive.count == 5
            assert archive.trusted
            assert archive.header.index == "i"
            assert [entry.id for entry in archive.entries()] == [b"c0", b"c1", b"c2", b"c3", b"c4"]

    @settings(max_examples=1000)
    @given(st.data())
    def test_every_corruption_is_refused(self, data):
        archive = sample()
        kind = data.draw(st.sampled_from(["cut", "flip", "insert", "remove", "swap", "append"]))
        place = data.draw(st.integers(0, len(archive) - 1))
        lines = archive.splitlines(keepends=True)
        if kind == "cut":
            broken = archive[:place]
        elif kind == "flip":
            byte = archive[place] ^ data.draw(st.integers(1, 255))
            broken = archive[:place] + bytes([byte]) + archive[place + 1 :]
        elif kind == "insert":
            added = data.draw(st.binary(min_size=1) | st.sampled_from([b"\n", b" ", b"}", *lines]))
            broken = archive[:place] + added + archive[place:]
        elif kind == "remove":
            end = data.draw(st.integers(place + 1, len(archive)))
            broken = archive[:place] + archive[end:]
        elif kind == "swap":
            data.draw(st.randoms()).shuffle(lines)
            broken = b"".join(lines)
        else:
            broken = archive + data.draw(st.binary(min_size=1) | st.sampled_from([*lines, archive]))
        if broken != archive:
            refused(broken, kind=NotAnArchive)

    def test_a_cut_archive_says_where(self):
        lines = sample().splitlines(keepends=True)
        refused(b"".join(lines[:-1]), "The file ends after line 6, without its footer")
        refused(b"".join(lines[:4]), "ends after line 4")

    def test_an_edited_line_is_named(self):
        refused(
            sample().replace(b'"c2"', b'"cX"'), "damaged at line 4: its checksum does not match"
        )
        refused(sample().replace(b'{"id": "c3"', b'{"di": "c3"'), "damaged at line 5")

    def test_lines_that_were_moved_or_doubled(self):
        head, *lines, foot = sample().splitlines(keepends=True)
        for moved in ([*lines[1:], lines[0]], [*lines, lines[0]], lines[1:]):
            refused(b"".join([head, *moved, foot]), "its lines do not match its footer")

    def test_two_archives_in_one(self):
        refused(sample() + sample(), "continues after its footer, at line 8")

    def test_one_in_which_a_conversation_comes_twice(self):
        doubled = archive_of(entry_of("a"), entry_of("a"), signed=False)
        refused(doubled, "contains a conversation twice, again at line 3")

    def test_a_newer_version_is_named(self):
        newer = sample().replace(b'"version": 1', b'"version": 2')
        refused(newer, "its format version is 2; this release reads version 1", kind=NotAnArchive)

    def test_what_is_no_archive(self):
        for text in (b"", b"\n", b"{}", b"PK\x03\x04", b"[1, 2]\n", b'{"format": "other"}\n'):
            with self.subTest(text):
                refused(text, kind=NotAnArchive)


class TrustTests(SimpleTestCase):
    def test_an_archive_of_another_project_is_parsed_to_the_last_run(self):
        with opened(archive_of(entry_of("a", [RUN]), signed=False)) as archive:
            assert not archive.trusted
        deep = b'{"runs": [{"type": "Run", "x": ' + b"[" * 10**5 + b"]" * 10**5 + b"}]}"
        for value in (b"{}x", b"[]", deep):
            entry = Entry(b"a", value, format.zlib.crc32(value), runs=0)
            refused(archive_of(entry_of("b"), entry, signed=False), "damaged at line 3: ")

    def test_it_must_not_lie_about_the_runs(self):
        for wrong in ({"runs": 2}, {"end": 3}, {"end": None}):
            lying = entry_of("a", [RUN])._replace(**wrong)
            refused(archive_of(lying, signed=False), "does not give the position of the runs")

    def test_a_key_that_was_changed_is_trusted_as_a_fallback(self):
        archive = archive_of(entry_of("a"), signed=False)
        with self.settings(SECRET_KEY_FALLBACKS=["another project"]):
            with opened(archive) as read:
                assert read.trusted


class CompressionTests(SimpleTestCase):
    def test_what_it_is_tells_and_not_its_name(self):
        for packed in (gzip.compress(sample()), zstandard.compress(sample())):
            with opened(packed) as archive:
                assert archive.count == 5

    def test_damaged_or_cut_short(self):
        for pack in (gzip.compress, zstandard.ZstdCompressor(write_checksum=True).compress):
            packed = pack(sample())
            refused(packed[:-5], kind=NotAnArchive)
            refused(packed[:40], kind=NotAnArchive)
            refused(packed + b"more")
            middle = len(packed) // 2
            flipped = bytes([packed[middle] ^ 0xFF])
            refused(packed[:middle] + flipped + packed[middle + 1 :], kind=NotAnArchive)

    def test_a_stream_that_cannot_be_read_twice_is_kept_aside(self):
        class Pipe(io.BytesIO):
            def seekable(self):
                return False

        with open_archive(Pipe(sample())) as archive:
            assert len([*archive.entries()]) == 5


class BombTests(SimpleTestCase):
    LONGEST = 2**20

    def bounded(self, archive, *says, kind=ArchiveDamaged):
        tracemalloc.start()
        try:
            refused(archive, *says, kind=kind, longest=self.LONGEST)
            assert tracemalloc.get_traced_memory()[1] < 16 * self.LONGEST
        finally:
            tracemalloc.stop()

    def test_a_line_of_many_times_the_limit(self):
        compressor = zstandard.ZstdCompressor().compressobj()
        zeros = bytes(2**20)
        bomb = b"".join([compressor.compress(zeros) for _ in range(300)]) + compressor.flush()
        assert len(bomb) < 10**5
        self.bounded(
            bomb, "exceeds 1,048,576 bytes at line 1, the limit that follows from MAX_BYTES"
        )

    def test_a_bomb_behind_a_sound_header(self):
        head = sample().partition(b"\n")[0] + b'\n{"id": "' + b"x" * 30 * 2**20
        self.bounded(gzip.compress(head), "at line 2, the limit")

    def test_a_window_that_no_reader_should_need(self):
        parameters = zstandard.ZstdCompressionParameters(window_log=28)
        compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        bomb = compressor.compress(bytes(2**20)) + compressor.flush()
        self.bounded(bomb, "line 1")

    def test_absurd_nesting(self):
        deep = b"[" * 10**5
        for line in (b'{"format": "' + deep, b'{"format": "conversation_memory", "a": ' + deep):
            self.bounded(line + b"\n", kind=NotAnArchive)
        value = b64encode(deep).decode()
        entry = b'{"id": ' + deep + b', "crc32": "00000000", "base64": "' + value.encode() + b'"}\n'
        self.bounded(archive_of(entry, signed=False), "line 2")


class CostTests(SimpleTestCase):
    """A gigabyte that is packed into a few kilobytes is refused before it costs any time."""

    def costs(self, parts, reader, *says, kind=NotAnArchive):
        packed = io.BytesIO()
        with zstandard.ZstdCompressor().stream_writer(packed, closefd=False) as writer:
            for part in parts:
                writer.write(part)
        assert len(packed.getvalue()) < 200_000
        start = time.process_time()
        with pytest.raises(kind) as caught:
            reader(packed)
        assert time.process_time() - start < 10
        for words in says:
            assert words in str(caught.value), str(caught.value)

    def read_archive(self, file):
        with open_archive(file):
            pass

    def read_chats(self, file):
        with reading(file) as (stream, name):
            Chats(stream, name, 2**27, "messages").verify()

    def gigabyte_of(self, line):
        return [line * (2**20 // len(line))] * 1000

    def test_short_lines_behind_a_header(self):
        head = sample().partition(b"\n")[0] + b"\n"
        for line in (b'{"id\n', b'{"id": "aaaaaaaaaaaaaaaa"}\n'):
            self.costs([head, *self.gigabyte_of(line)], self.read_archive, "damaged at line 2")

    def test_lines_that_have_the_form_of_conversations(self):
        head = sample().partition(b"\n")[0] + b"\n"
        line = b'{"id": "", "crc32": "00000000", "value": 1}\n'
        says = "unpacks to more than"
        self.costs([head, *self.gigabyte_of(line)], self.read_archive, says, kind=ArchiveTooLarge)

    def test_no_header(self):
        self.costs(self.gigabyte_of(b"abcd\n"), self.read_archive, "not an archive")

    def test_blank_lines_of_an_export(self):
        for line in (b"\n", b"    \n"):
            self.costs(self.gigabyte_of(line), self.read_chats, "does not contain conversations")
        self.costs(self.gigabyte_of(b" " * 1000 + b"\n"), self.read_chats, "unpacks to more than")

    def test_what_repeats_itself_as_texts_do_is_fine(self):
        entries = [entry_of(f"c{n}", [Run("?", "lorem ipsum " * 20_000)]) for n in range(40)]
        with opened(zstandard.compress(archive_of(*entries))) as archive:
            assert archive.count == 40

    def test_a_caller_may_want_fewer(self):
        with opened(sample(), most=5, most_bytes=len(sample())):
            pass
        refused(sample(), "more than 4 conversations", kind=ArchiveTooLarge, most=4)
        most = len(sample()) - 1
        refused(sample(), f"{most:,} bytes", kind=ArchiveTooLarge, most_bytes=most)


class OrderTests(SimpleTestCase):
    def test_equal_conversations_are_equal_bytes_whenever_they_were_dumped(self):
        entries = [entry_of(f"c{n}") for n in range(3)]
        first, second = archive_of(*entries), archive_of(*entries)
        assert body(first) == body(second)

    def test_random_bytes_are_never_an_archive(self):
        for _ in range(100):
            refused(random.randbytes(random.randrange(200)), kind=NotAnArchive)
