"""Encrypting anew: rotatekeys, beside writers, and after an interruption."""

import threading
from io import StringIO

from django.core.management import CommandError, call_command

from conversation_memory import Run
from conversation_memory.collection.selection import Selection
from conversation_memory.exceptions import RedisMisconfigured

from .encrypting import EncryptedTestCase
from .utils import Awaited, each_layout


class Interrupted(Exception):
    pass


def interrupt(done):
    if done.rotated == 3:
        raise Interrupted


@each_layout
class RotationTests:
    case, entry = EncryptedTestCase, EncryptedTestCase.entry

    def fill(self, index, count=8):
        for number in range(count):
            driver = index.driver(f"c{number}", owner="ada" if number % 2 else "grace")
            driver.append(Run("q", f"a{number}", id="r0"), Run("q", "b", id="r1"))
            driver.update_metadata({"n": number})
            driver.set_title(f"title {number}")

    def prefixes(self):
        """The ids of the keys that have sealed anything."""
        proofs = self.index._layout.keys.proofs()
        found = repr({name: it for name, it in self.everything().items() if name != proofs})
        return {part.split(".")[0] for part in found.split("cm1.")[1:]}

    def test_everything_gets_the_newest_key_and_keeps_its_times(self):
        self.fill(self.index)
        with self.index.driver("c0").begin("q", run_id="done").claim() as reply:
            reply.write("said")
        reply = self.index.driver("c1").begin("question", meta={"m": 1}, run_id="open").claim()
        reply.write("so far")
        reply.fail("why")
        before = self.index.recent()
        self.index.driver("c2").expire(1000)
        with self.keys_are("b", "a") as index:
            for each in (index, Awaited(index)):
                self.wrote = each.rotate_keys()
            assert (self.wrote.seen, self.wrote.rotated, self.wrote.failed) == (8, 0, 0)
        assert self.prefixes() == {"b"}
        with self.keys_are("b") as index:
            after = index.recent()
            assert [(one.title, one.updated, one.owner, one.runs) for one in after] == [
                (one.title, one.updated, one.owner, one.runs) for one in before
            ]
            assert index.driver("c2").record().expires is not None
            [open] = index.driver("c1").open_runs()
            assert (open.input.text, open.reason, open.meta) == ("question", "why", {"m": 1})
            assert index.driver("c1").reply("open", resume=True).text == "so far"
            assert [chunk.text for chunk in index.driver("c0").follow("done")] == ["said", ""]
            assert index.driver("c3").load()[0][0].output.text == "a3"
            assert index.check().left == 0

    def test_it_goes_on_after_an_interruption_beside_writers(self):
        self.fill(self.index, 12)
        stopped, wrote, errors = threading.Event(), [], []

        def write(index):
            try:
                while not stopped.is_set():
                    number = len(wrote)
                    index.driver(f"c{number % 12}").append(Run("q", "a", id=f"w{number}"))
                    wrote.append(number)
            except Exception as error:
                errors.append(error)

        with self.keys_are("a", "b") as old, self.keys_are("b", "a") as index:
            writer = threading.Thread(target=write, args=(old,))  # which knows the new key already
            writer.start()
            try:
                with self.assertRaises(Interrupted):
                    index.rotate_keys(progress=interrupt)
                assert len(self.prefixes()) == 2
                while index.rotate_keys().rotated < 1 and len(wrote) < 5:
                    pass
            finally:
                stopped.set()
                writer.join()
            assert not errors
            index.rotate_keys()
        assert self.prefixes() == {"b"}
        with self.keys_are("b") as index:
            found = [run.id for id in index for run in index.driver(id).load()[0]]
            assert len(found) == 24 + len(wrote)
            assert index.check().left == 0

    def test_a_plain_index_is_moved_over(self):
        with self.keys_are() as plain:
            self.fill(plain)
            plain.driver("c0").begin("open question", run_id="open")
        self.put("stock", b'{"runs": [], "metadata": {"secret": 1}}')
        with self.keys_are("a", READ_PLAINTEXT=True) as index:
            assert len(index.recent()) == 9
            assert index.driver("c0").load()[1] == {"n": 0}
            assert index.rotate_keys().rotated == 9
        for text in ("open question", "secret", "title 1", '"a1"'):
            assert text not in repr(self.everything())
        with self.keys_are("a") as index:
            assert index.driver("c0").open_runs()[0].input.text == "open question"
            assert index.driver("stock").load()[1] == {"secret": 1}
            assert index.check().left == 0

    def test_texts_that_are_the_same_in_two_open_runs_are_each_readable(self):
        def fill(index, id):
            driver = index.driver(id)
            for run in ("r", "r1"):
                reply = driver.begin("same", run_id=run).claim()
                reply.write("1same" if run == "r" else "same")
                reply.fail("same")
            driver.set_title("same")

        with self.keys_are() as plain:
            fill(plain, "rotated")
            fill(plain, "old")
        with self.keys_are("a", READ_PLAINTEXT=True) as index:
            index.driver("old").rename("renamed")
            assert index.rotate_keys().failed == 0
        for id in ("rotated", "renamed"):
            driver = self.index.driver(id)
            assert driver.record().title == "same"
            for open, text in zip(driver.open_runs(), ("1same", "same"), strict=True):
                assert (open.input.text, open.reason) == ("same", "same")
                assert driver.reply(open.run_id, resume=True).text == text

    def test_no_search_document_of_the_time_before_is_left(self):
        writes = {
            "append": lambda driver: driver.append(Run("q", "b")),
            "rename": lambda driver: driver.rename("renamed"),
            "rotate": lambda driver: None,
        }
        with self.keys_are(entry={"SEARCH": True}) as plain:
            for id in writes:
                plain.driver(id).store([Run("lighthouse", "a")], {"about": "lighthouse"})
            token = self.redis.hget(plain._layout.keys.record(b"rotate"), "token")
            self.redis.execute_command("FT.DROPINDEX", plain._layout.schema.name)
        with self.keys_are("a", READ_PLAINTEXT=True) as index:
            for id, write in writes.items():
                write(index.driver(id))
            assert [name for name in self.keys() if b":run:" in name and token not in name] == []
            assert index.rotate_keys().failed == 0
            assert "lighthouse" not in repr(self.everything())
            # As it was moved by an earlier version, which left them.
            self.redis.hset(index._layout.keys.record(b"rotate"), "token", token)
            assert [index.rotate_keys().rotated for _ in range(2)] == [1, 0]

    def test_a_selection(self):
        self.fill(self.index)
        with self.keys_are("b", "a") as index:
            assert index.rotate_keys(Selection(owner="ada")).rotated == 4
            assert index.rotate_keys(Selection(ids=["c0", "c1"])).rotated == 1

    def test_converting_to_the_other_layout(self):
        self.fill(self.index)
        other = "list" if self.index.settings.layout == "hash" else "hash"
        with self.keys_are("a", entry={"LAYOUT": other}) as index:
            assert index.convert().converted == 8
            assert index.driver("c3").load()[0][0].output.text == "a3"
            assert index.convert().converted == 0
            assert index.check().left == 0


class CommandTests(EncryptedTestCase):
    def call(self, *args):
        out, err = StringIO(), StringIO()
        call_command("rotatekeys", *args, stdout=out, stderr=err)
        return out.getvalue() + err.getvalue()

    def test_says_how_many(self):
        self.index.driver("c").append(Run("q", "a"))
        self.index.driver("d").append(Run("q", "a"))
        with self.keys_are("b", "a"):
            assert "Encrypted 1 conversation with the newest key; 0 had it" in self.call("c")
            assert "Encrypted 1 conversation with the newest key; 1 had it" in self.call()

    def test_names_what_it_cannot_decrypt(self):
        self.index.driver("c").append(Run("q", "a"))
        with self.keys_are("b"), self.assertRaisesMessage(CommandError, "1 conversation"):
            self.call("-v0")

    def test_an_alias_without_encryption_is_refused(self):
        with self.keys_are() as index, self.assertRaises(RedisMisconfigured):
            index.rotate_keys()
