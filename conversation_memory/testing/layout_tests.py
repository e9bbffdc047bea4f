"""The promises of a layout, as tests that run on yours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from operator import methodcaller
from typing import Any
from uuid import UUID

from ..artifacts import Artifact
from ..exceptions import (
    ConversationConflict,
    ConversationCorrupt,
    ConversationNotFound,
    ConversationTooLarge,
    RunNotFound,
)
from ..layouts import LAYOUTS
from ..runs import Run
from .both_ways import Awaited, both, close_connections
from .layout_case import HOSTILE, MOST, LayoutCase, ids, run

WRITERS, EACH = 4, 5
LONG = "x" * 150_000  # more than scripts copy


Change = Callable[[Any], Any]
CHANGES: tuple[Change, ...] = (
    lambda driver: driver.append(run("b")),
    lambda driver: driver.update_metadata({"k": "v"}),
    lambda driver: driver.store([run("c")], {}),
)
READS: tuple[Change, ...] = (methodcaller("load"), methodcaller("tail", 1))


class LayoutTestMixin(LayoutCase):
    """Tests of what every layout promises, through the driver, sync and async.

    `class TreeTests(LayoutTestMixin, IndexTestMixin, SimpleTestCase)` with `layout`, a subclass of
    `conversation_memory.layouts.Layout` or the name of one that LAYOUTS has.
    """

    def refuses(self, driver: Any, error: type[Exception], *uses: Change) -> None:
        for use in uses:
            with self.assertRaises(error):
                use(driver)

    @both
    def test_nothing_stored_is_nothing(self, index: Any) -> None:
        driver = index.driver("42")
        self.assertEqual(driver.load(), ([], {}))
        self.assertEqual((driver.tail(3), driver.record(), driver.exists()), ([], None, False))
        self.assertFalse(driver.read().exists)
        self.assertEqual(driver.append(), 0)
        self.assertFalse(driver.delete())
        self.assertEqual(self.keys(), set())

    @both
    def test_every_value_comes_back_as_it_was(self, index: Any) -> None:
        driver = index.driver("42")
        runs = [Run("text", Artifact(value), meta={"value": value}) for value in HOSTILE]
        driver.store(runs, {"values": HOSTILE})
        added = Run(Artifact(HOSTILE), LONG, meta={"k": HOSTILE})
        driver.append(added)
        loaded, metadata = driver.load()
        for stored, given in zip(loaded, [*runs, added], strict=True):
            self.assertEqual(repr(stored.to_dict()), repr(given.to_dict()))
        self.assertEqual(repr(metadata), repr({"values": HOSTILE}))

    @both
    def test_every_id_of_a_conversation_and_a_run_works(self, index: Any) -> None:
        texts = [value for value in HOSTILE if isinstance(value, str)]
        for id in (*texts[:1], *texts[3:], "x" * 1000, b"\xff\xfe", 7, UUID(int=7), "a:{b}/..", ""):
            with self.subTest(id=id):
                driver = index.driver(id, owner="ann")
                self.assertEqual(driver.append(*map(run, texts)), len(texts))
                self.assertEqual(ids(driver.load()[0]), texts)
                self.assertEqual([*index], [driver.conversation_id])
                self.assertEqual(index.recent()[0].conversation_id, driver.conversation_id)
                self.assertTrue(driver.delete())
                self.assertEqual(self.keys(), set())

    @both
    def test_store_overwrites_runs_and_metadata(self, index: Any) -> None:
        driver = index.driver("42")
        driver.store([run("a"), run("b", LONG)], {"old": 1})
        driver.store((run(id) for id in "cd"), {"new": 2})
        self.assertEqual((ids(driver.load()[0]), driver.load()[1]), (["c", "d"], {"new": 2}))
        driver.store([])
        self.assertEqual((driver.load(), driver.record().runs), (([], {}), 0))

    @both
    def test_append_adds_each_run_once_in_order(self, index: Any) -> None:
        driver = index.driver("42")
        self.assertEqual(driver.append(run("ab"), run("ab"), run("c")), 2)
        self.assertEqual(driver.append(run("a"), run("c", "other"), run("abc")), 2)
        self.assertEqual([driver.append(run(id)) for id in ("d", "ab", "d")], [1, 0, 0])
        self.assertEqual(ids(driver.load()[0]), ["ab", "c", "a", "abc", "d"])
        self.assertEqual(driver.load()[0][1].output.text, "an answer")
        self.assertEqual(driver.record().runs, 5)

    @both
    def test_a_repeated_append_finds_its_runs_whoever_appended_meanwhile(self, index: Any) -> None:
        driver, runs = index.driver("42"), [Run("a", "b") for _ in range(80)]
        for count, added in enumerate(runs[:40], 1):
            self.assertEqual(driver.append(added), 1)
            self.assertEqual(driver.append(*runs[:count]), 0)
        self.assertEqual((driver.append(*runs[40:]), driver.append(*runs)), (40, 0))
        self.assertEqual(driver.load()[0], runs)

    @both
    def test_a_part_is_read_as_the_whole_has_it(self, index: Any) -> None:
        driver, names = index.driver("42"), [str(number) for number in range(25)]
        driver.append(*map(run, names))
        for count in (-1, 0, 1, 3, 25, 26):
            self.assertEqual(ids(driver.tail(count)), names[-count:] if count > 0 else [])
        self.assertEqual(ids(driver.window(max_runs=4)), names[-4:])
        found: list[str] = []
        before = None
        while before != 0:
            page = driver.page(limit=10, before=before)
            found, before = [*ids(page.runs), *found], page.start
        self.assertEqual(found, names)

    @both
    def test_one_run_is_changed_and_the_others_stay(self, index: Any) -> None:
        for last in ("c", LONG):
            driver = index.driver(owner="ann")
            driver.store([run("a"), run("b"), run("c", last)], {"k": HOSTILE})
            driver.edit(run("b", "changed"))
            driver.annotate("a", {"rating": 5})
            runs, metadata = driver.load()
            self.assertEqual([it.output.text for it in runs], ["an answer", "changed", last])
            self.assertEqual((runs[0].meta, repr(metadata)), ({"rating": 5}, repr({"k": HOSTILE})))
            driver.remove("a")
            driver.append(run("d"))
            self.assertEqual(ids(driver.load()[0]), ["b", "c", "d"])
            driver.truncate(after="b")
            self.assertEqual((ids(driver.load()[0]), driver.record().runs), (["b"], 1))
            self.refuses(
                driver,
                RunNotFound,
                lambda driver: driver.remove("none"),
                lambda driver: driver.truncate(after="none"),
                lambda driver: driver.edit(run("none")),
            )

    @both
    def test_metadata_is_merged_and_the_runs_stay(self, index: Any) -> None:
        driver = index.driver("42")
        self.assertEqual(driver.update_metadata({"a": 1, "b": HOSTILE}), {"a": 1, "b": HOSTILE})
        driver.append(run("a"))
        self.assertEqual(driver.update_metadata({"c": 3}, remove=("a", "-"))["c"], 3)
        self.assertEqual(repr(driver.load()[1]), repr({"b": HOSTILE, "c": 3}))
        self.assertEqual(ids(driver.load()[0]), ["a"])

    @both
    def test_the_record_tells_what_is_stored(self, index: Any) -> None:
        driver = index.driver("42", owner="ann")
        driver.append(run("a"))
        driver.set_title("Refund")
        for change in CHANGES:
            before = driver.record()
            time.sleep(0.002)
            change(driver)
            record = driver.record()
            self.assertGreater(record.updated, before.updated)
            self.assertEqual(record.created, before.created)
            self.assertGreater(record.version, before.version)
            self.assertEqual(record.runs, len(driver.load()[0]))
            self.assertEqual((record.owner, record.title), ("ann", "Refund"))
        before = driver.record()
        driver.append(run("c"))
        self.assertEqual(driver.record(), before)

    @both
    def test_a_store_with_an_old_revision_writes_nothing(self, index: Any) -> None:
        driver = index.driver("42")
        absent = driver.read().revision
        revision = driver.store(runs := [run("a")], {}, revision=absent)
        self.assertEqual(driver.store(runs, {}, revision=absent), revision)  # a retry
        deletion: Change = methodcaller("delete")
        for change in (*CHANGES, deletion):
            revision = driver.read().revision
            change(driver)
            before = driver.load()
            with self.assertRaises(ConversationConflict):
                driver.store([run("d")], {}, revision=revision)
            self.assertEqual(driver.load(), before)

    @both
    def test_an_owner_neither_reads_nor_changes_what_is_of_another(self, index: Any) -> None:
        nothing = index.driver("42", owner="ann").read()
        for other in ("bob", None):
            index.driver("42", owner=other).store([run("a")], {"k": "v"})
            before, driver = index.driver("42").read(), index.driver("42", owner="ann")
            self.assertEqual((driver.load(), driver.tail(1), driver.record()), (([], {}), [], None))
            self.assertEqual(
                (driver.read(), driver.exists(), driver.delete()), (nothing, False, False)
            )
            index.driver("own", owner="ann").append(run("b"))
            self.refuses(driver, ConversationNotFound, *CHANGES)
            self.refuses(driver, ConversationNotFound, lambda driver: driver.set_title("Refund"))
            own = index.driver("own", owner="ann")
            self.refuses(
                own,
                ConversationNotFound,
                lambda driver: driver.rename("42"),
                lambda driver: driver.fork("42"),
            )
            self.assertEqual(index.driver("42").read(), before)
            self.wipe()

    @both
    def test_a_driver_without_an_owner_keeps_the_owner(self, index: Any) -> None:
        index.driver("42", owner="ann").append(run("a"))
        index.driver("42").append(run("b"))
        index.driver("42").store([run("c")], {})
        self.assertEqual(ids(index.driver("42", owner="ann").load()[0]), ["c"])
        self.assertEqual((index.count(), index.count(owner="ann")), (1, 1))

    @both
    def test_a_conversation_is_forked_renamed_and_given_away_whole(self, index: Any) -> None:
        for output in ("short", LONG):
            driver = index.driver("42", owner="ann")
            driver.store([run("a"), run("b", output)], {"k": HOSTILE})
            before = driver.load()
            copy = driver.fork("43", until="a")
            self.assertEqual(ids(copy.load()[0]), ["a"])
            with self.assertRaises(ConversationConflict):
                driver.rename("43")
            driver.rename("44")
            self.assertFalse(index.driver("42").exists())
            index.driver("44").move_to("bob")
            self.assertEqual(repr(index.driver("44", owner="bob").load()), repr(before))
            self.assertEqual((index.count(owner="ann"), index.count(owner="bob")), (1, 1))
            self.assertEqual((copy.delete(), index.driver("44").delete()), (True, True))
            self.assertEqual(self.keys(), set())

    @both
    def test_what_has_expired_is_nothing_and_is_reaped(self, index: Any) -> None:
        driver = index.driver("42", owner="ann", ttl=0.05)
        driver.store([run("a")], {"k": "v"})
        kept = index.driver("43", owner="ann", ttl=100)
        kept.append(run("b"))
        time.sleep(0.1)
        self.assertEqual((driver.load(), driver.exists()), (([], {}), False))
        self.assertEqual((index.count(), index.count(owner="ann")), (1, 1))
        self.assertEqual((index.reap(), ids(kept.load()[0])), (1, ["b"]))
        kept.persist()
        index.driver("42", owner="bob").append(run("c"))
        for driver in (kept, index.driver("42", owner="bob")):
            self.assertEqual((driver.exists(), driver.record().expires), (True, None))

    def test_writers_at_once_lose_nothing(self) -> None:
        names = [[f"{writer}-{number}" for number in range(EACH)] for writer in range(WRITERS)]

        def write(own: list[str]) -> None:
            driver = self.index.driver("42")
            for id in own:
                driver.append(run(id))
                driver.update_metadata({id: id})

        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(write, names))
        self.check_writers(names)

    def test_coroutines_at_once_lose_nothing(self) -> None:
        names = [[f"{writer}-{number}" for number in range(EACH)] for writer in range(WRITERS)]

        async def write(own: list[str]) -> None:
            driver = self.index.driver("42")
            for id in own:
                await driver.aappend(run(id))
                await driver.aupdate_metadata({id: id})

        async def all_of_them() -> None:
            await asyncio.gather(*map(write, names))
            await close_connections()

        asyncio.run(all_of_them())
        self.check_writers(names)

    def check_writers(self, names: list[list[str]]) -> None:
        runs, metadata = self.index.driver("42").load()
        self.assertEqual({*ids(runs)}, {id for own in names for id in own})
        self.assertEqual(len(runs), WRITERS * EACH)
        self.assertEqual({*metadata}, {*ids(runs)})
        for own in names:
            self.assertEqual([id for id in ids(runs) if id in own], own)

    @both
    def test_damage_is_an_error_and_is_not_written_over(self, index: Any) -> None:
        driver = index.driver("42")
        for damaged in (b"{", b"null", b'{"runs": [1], "metadata": {}}', b"[" * 100_000):
            self.raw.hset(self.index.name, "42", damaged)
            self.refuses(driver, ConversationCorrupt, *CHANGES[:2], *READS)
            self.assertEqual(self.raw.hget(self.index.name, "42"), damaged)
        driver.store([run("a")], {})
        self.assertEqual(ids(driver.load()[0]), ["a"])

    @both
    def test_too_much_is_an_error_and_nothing_is_written(self, index: Any) -> None:
        driver = index.driver("42")
        driver.store([run("a")], {"k": "v"})
        before = driver.read()
        self.refuses(
            driver,
            ConversationTooLarge,
            lambda driver: driver.append(run("b", "x" * MOST)),
            lambda driver: driver.store([run("b", "x" * MOST)], {}),
            lambda driver: driver.update_metadata({"k": "x" * MOST}),
        )
        self.assertEqual(driver.read(), before)

    def test_each_layout_reads_and_changes_what_the_other_wrote(self) -> None:
        for other in LAYOUTS.keys() - {self.entry["LAYOUT"]}:
            for output in ("short", LONG):
                theirs, ours = self.of_layout(other), self.index
                for one, two in ((theirs, ours), (ours, Awaited(theirs))):
                    one.driver("42").store([run("a", output)], {"k": HOSTILE})
                    self.assertEqual(ids(two.driver("42").load()[0]), ["a"])
                    self.assertEqual((two.driver("42").append(run("b")), one.count()), (1, 1))
                    one.driver("42").edit(run("b", "changed"))
                    two.driver("42").update_metadata({"new": 1})
                    for index in (one, two):
                        runs, metadata = index.driver("42").load()
                        texts = [it.output.text for it in runs]
                        self.assertEqual((texts, metadata["new"]), ([output, "changed"], 1))
                        self.assertEqual(repr(metadata["k"]), repr(HOSTILE))
                    self.assertTrue(one.driver("42").delete())
                    self.assertEqual(self.keys(), set())
