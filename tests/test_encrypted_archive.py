"""Archives of encrypted indexes."""

import io
import os
from base64 import b64encode
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from django.core.management import CommandError, call_command

from conversation_memory import Run
from conversation_memory.archive import Dump, OwnerExport, Restore, archive_key, open_archive
from conversation_memory.exceptions import ArchiveDamaged, InvalidIndexError, NotAnArchive

from .encrypting import EncryptedTestCase
from .utils import each_layout

SECRET = "lighthouse"


def dumped(index, **options):
    return b"".join(Dump(index, **options))


def restored(index, data, keyring=None, **options):
    with open_archive(io.BytesIO(data), keyring=keyring or index.keyring) as archive:
        return Restore(index, archive, **options).run()


@each_layout
class ArchiveTests:
    case, entry = EncryptedTestCase, EncryptedTestCase.entry

    def setUp(self):
        super().setUp()
        driver = self.index.driver("c", owner="ada")
        driver.store([Run(SECRET, "a", id="r1"), Run("q", SECRET, id="r2")], {"about": SECRET})
        driver.set_title(SECRET)
        reply = driver.begin(SECRET, run_id="open").claim()
        reply.write("so far")
        reply.fail(SECRET)
        self.index.driver("d").append(Run("q", "a"))

    def assert_whole(self, index):
        found = index.driver("c", owner="ada").read()
        assert [run.output.text for run in found.runs] == ["a", SECRET]
        assert (found.metadata, found.record.title) == ({"about": SECRET}, SECRET)
        [open] = index.driver("c").open_runs()
        assert (open.input.text, open.reason) == (SECRET, SECRET)
        assert index.driver("c").reply("open", resume=True).text == "so far"
        assert index.check().left == 0

    def test_an_archive_is_encrypted_and_restores_anywhere(self):
        archive = dumped(self.index)
        assert b'"key": "a"' in archive
        for text in (SECRET, "owner", "so far"):
            assert text.encode() not in archive
        assert restored(self.index, archive).same == 2
        for entry in ({"INDEX": f"{self.index.name}-2"}, {"LAYOUT": "hash"}, {"LAYOUT": "list"}):
            with self.keys_are("b", "a", entry=entry) as index:
                index.delete("c", "d")
                assert restored(index, archive).new == 2
                assert SECRET not in repr(self.everything())
                self.assert_whole(index)
                index.delete("c", "d")
                for key in self.redis.scan_iter(f"{{{self.index.name}-2}}*"):
                    self.redis.delete(key)

    def test_a_plain_archive_if_it_is_wanted(self):
        archive = dumped(self.index, plain=True)
        assert SECRET.encode() in archive
        self.index.delete("c", "d")
        assert restored(self.index, archive).new == 2
        self.assert_whole(self.index)
        assert SECRET not in repr(self.everything())
        self.index.delete("c", "d")
        with self.keys_are() as plain:
            assert restored(plain, archive).new == 2
            self.assert_whole(plain)

    def test_an_archive_for_a_recipient(self):
        theirs = archive_key(f"theirs={b64encode(b't' * 32).decode()}")
        archive = dumped(self.index, keyring=theirs)
        assert b'"key": "theirs"' in archive
        with self.assertRaisesMessage(NotAnArchive, "key 'theirs'"):
            restored(self.index, archive)
        assert restored(self.index, archive, theirs).same == 2

    def test_a_line_of_another_archive_or_changed_is_refused(self):
        archive = dumped(self.index)
        header, first, *rest = archive.splitlines(keepends=True)
        other = header.replace(b'"conversations": 2', b'"conversations": 3')
        for changed in (b"".join([other, first, *rest]), archive.replace(b"cm1.a.", b"cm1.b.")):
            with self.assertRaises(NotAnArchive):
                restored(self.index, changed)
        again = dumped(self.index).splitlines(keepends=True)
        with self.assertRaises(ArchiveDamaged):
            restored(self.index, b"".join([header, again[1], *rest]))

    def test_what_cannot_be_decrypted_is_dumped_as_it_is_and_never_replaced(self):
        before = self.everything()
        with self.keys_are("b") as index:
            dump = Dump(index)
            archive = b"".join(dump)
            assert (dump.count, dump.unreadable) == (2, 2)
            plain = dumped(self.index, plain=True)
            counts = restored(index, plain, on_conflict="replace")
            assert counts.kept == 2
        proofs = self.index._layout.keys.proofs()
        assert self.everything() | {proofs: 0} == before | {proofs: 0}
        self.index.delete("c", "d")
        with self.keys_are("b") as index:
            assert restored(index, archive).unreadable == 2
        assert [run.id for run in self.index.driver("c").load()[0]] == ["r1", "r2"]
        assert self.index.recent(owner="ada")[0].title == SECRET

    def test_an_owner_gets_their_texts(self):
        export = b"".join(OwnerExport(self.index, "ada"))
        with TemporaryDirectory() as folder:
            path = Path(folder, "ada.zip")
            path.write_bytes(export)
            from zipfile import ZipFile

            with ZipFile(path) as opened:
                assert SECRET in opened.read("conversations/00001.json").decode()


class CommandTests(EncryptedTestCase):
    def setUp(self):
        super().setUp()
        self.index.driver("c").append(Run(SECRET, "a"))
        self.folder = self.enterContext(TemporaryDirectory())
        self.path = str(Path(self.folder, "archive.jsonl"))

    def test_a_key_of_the_environment(self):
        key = b64encode(b"t" * 32).decode()
        with mock.patch.dict(os.environ, {"THEIRS": key}):
            options = {"key": "theirs=env:THEIRS", "verbosity": 0}
            call_command("dumpconversations", "-o", self.path, **options)
            with self.assertRaisesMessage(CommandError, "--key"):
                call_command("loadconversations", self.path, verbosity=0)
            call_command("loadconversations", self.path, **options)

    def test_texts_for_other_programs_must_be_meant(self):
        with self.assertRaisesMessage(CommandError, "--plain"):
            call_command("dumpconversations", "--format", "messages", "-o", self.path)
        arguments = ["--format", "messages", "--plain", "-o", self.path]
        call_command("dumpconversations", *arguments, verbosity=0)
        assert SECRET in Path(self.path).read_text()

    def test_a_key_that_is_none_is_refused(self):
        for key in ("x", "x=y", "=env:NO_SUCH", "a b=x"):
            with self.assertRaises(InvalidIndexError):
                archive_key(key)
