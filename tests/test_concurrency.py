import asyncio
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

from django.test import SimpleTestCase
from redis import Redis

from conversation_memory import Run, indexes
from conversation_memory.exceptions import ConversationConflict, ConversationNotFound
from conversation_memory.layouts import LAYOUTS

from .programs import start
from .utils import RedisTestCase, each_layout, wait_for

ROOT = Path(__file__).parent.parent
WRITER = """
import json
import sys
import django
from django.conf import settings

name, entries = sys.argv[1], json.loads(sys.argv[2])
settings.configure(INSTALLED_APPS=["conversation_memory"], REDIS=entries)
django.setup()

from conversation_memory import Run, indexes
from conversation_memory.exceptions import RedisUnavailable

def append(driver, run):
    try:
        driver.append(run)
    except RedisUnavailable:
        return 1 + append(driver, run)
    return 0

drivers = [indexes[alias].driver("42") for alias in entries]
print("ready", flush=True)
sys.stdin.readline()
runs = [Run("a question", "an answer", id=f"{name}-{number}") for number in range(50)]
print(sum(append(driver, run) for run in runs for driver in drivers))
indexes.close()
"""


def run(id):
    return Run("a question", "an answer", id=id)


def ids(runs):
    return [run.id for run in runs]


def together(*functions):
    """What each returns; they start at the same moment, each in a thread of its own."""
    barrier = Barrier(len(functions))

    def start(function):
        barrier.wait()
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(start, functions))


class ProcessTests(SimpleTestCase):
    """Eight processes write to one conversation while the server stops answering five times."""

    def setUp(self):
        server = self.enterContext(start())
        self.redis = self.enterContext(Redis.from_url(server.url))
        common = {"URL": server.url, "OPTIONS": {"socket_timeout": 0.3}}
        self.entries = {name: {**common, "INDEX": name, "LAYOUT": name} for name in LAYOUTS}
        self.enterContext(self.settings(REDIS=self.entries))

    def test_every_run_is_stored_once_and_in_the_order_of_its_writer(self):
        retries = self.write_through_pauses()
        assert retries, "The writers were done before the first pause."
        for layout in LAYOUTS:
            with self.subTest(layout):
                found = ids(indexes[layout].driver("42").load()[0])
                assert len(found) == indexes[layout].driver("42").record().runs == 400
                for name in "abcdefgh":
                    expected = [f"{name}-{number}" for number in range(50)]
                    assert [id for id in found if id[0] == name] == expected

    def write_through_pauses(self):
        writers = [self.writer(name) for name in "abcdefgh"]
        for writer in writers:
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            writer.stdin.write("go\n")
            writer.stdin.flush()
        for _ in range(5):
            self.redis.client_pause(1000)
            time.sleep(1.05)
        return sum(int(writer.communicate(timeout=60)[0]) for writer in writers)

    def writer(self, name):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, name, json.dumps(self.entries)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.addCleanup(writer.__exit__, None, None, None)
        self.addCleanup(writer.kill)
        return writer


@each_layout
class ThreadTests:
    def test_threads_with_a_conversation_each(self):
        def writer(name):
            def write():
                return [self.index.driver(name).append(run(f"{n}")) for n in range(25)]

            return write

        assert together(*(writer(f"c{number}") for number in range(8))) == [[1] * 25] * 8
        for number in range(8):
            assert ids(self.index.driver(f"c{number}").load()[0]) == [f"{n}" for n in range(25)]
        assert self.index.count() == len(self.index.recent()) == 8

    def test_threads_that_append_the_same_run(self):
        driver = self.index.driver("42")
        assert sum(together(*[lambda: driver.append(run("a"))] * 8)) == 1
        assert ids(driver.load()[0]) == ["a"]

    def test_of_threads_that_store_at_one_revision_one_wins(self):
        revision = self.index.driver("42").store([run("a")], {})

        def store(key):
            def attempt():
                try:
                    return self.index.driver("42").store([run(key)], {}, revision=revision)
                except ConversationConflict:
                    return None

            return attempt

        won = [revision for revision in together(*map(store, "bcdefghi")) if revision]
        assert won == [self.index.driver("42").read().revision]

    def test_of_owners_that_create_one_conversation_one_gets_it(self):
        def create(owner):
            return lambda: self.attempt(self.index.driver("42", owner=owner))

        assert sum(together(*map(create, "abcdefgh"))) == 1
        owner = self.index.driver("42").record().owner
        assert [self.index.count(name) for name in "abcdefgh"].count(1) == 1
        assert ids(self.index.driver("42", owner=owner).load()[0]) == [owner]

    def attempt(self, driver):
        try:
            return driver.append(run(driver.owner))
        except ConversationNotFound:
            return 0

    def test_appends_and_deletions_leave_nothing_behind(self):
        def append():
            return [self.index.driver("42", owner="ann").append(run("a")) for _ in range(30)]

        def delete():
            return [self.index.driver("42").delete() for _ in range(30)]

        together(append, delete, append, delete)
        self.index.driver("42").delete()
        assert self.keys() == set()


@each_layout
class AsyncTests:
    def test_fifty_appends_at_once(self):
        async def append():
            driver = self.index.driver("42")
            return await asyncio.gather(*(driver.aappend(run(f"{n}")) for n in range(50)))

        assert wait_for(append()) == [1] * 50
        assert sorted(ids(self.index.driver("42").load()[0]), key=int) == list(map(str, range(50)))

    def test_sync_and_async_writers_at_once(self):
        async def append():
            driver = self.index.driver("42")
            return [await driver.aappend(run(f"async{n}")) for n in range(20)]

        def write():
            return [self.index.driver("42").append(run(f"sync{n}")) for n in range(20)]

        together(lambda: asyncio.run(append()), write)
        assert len(set(ids(self.index.driver("42").load()[0]))) == 40


class StockDriverTests(RedisTestCase):
    """A stock driver reads, adds and writes back without any care; ours must not make it worse."""

    def stock(self, name):
        for number in range(40):
            document = json.loads(self.stored("42"))
            document["runs"].append(run(f"{name}{number}").to_dict())
            self.put("42", json.dumps(document))

    def ours(self, name):
        for number in range(40):
            self.index.driver("42").append(run(f"{name}{number}"))

    def look(self, end):
        """Every state that others can see is a whole document."""
        seen = 0
        while not end.is_set():
            found = ids(map(Run.from_dict, json.loads(self.stored("42"))["runs"]))
            assert len(found) == len(set(found))
            seen += 1
        return seen

    def test_the_document_is_whole_at_every_moment(self):
        end = Event()
        self.put("42", b'{"runs": [], "metadata": {}}')

        def write():
            try:
                together(lambda: self.ours("ours"), lambda: self.stock("stock"))
            finally:
                end.set()

        _, seen = together(write, lambda: self.look(end))
        assert seen
        assert self.index.driver("42").load()[0]

    def test_appends_stay_when_the_stock_driver_is_done(self):
        self.put("42", b'{"runs": [], "metadata": {}}')
        together(lambda: self.stock("stock"), lambda: self.ours("ours"))
        self.ours("more")
        found = ids(self.index.driver("42").load()[0])
        assert found[-40:] == [f"more{number}" for number in range(40)]
