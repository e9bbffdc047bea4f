"""Eight processes, mixed operations, and a server that fails them in every way it can.

Or with search documents, beside operators who reindex, check, convert and dump all the time.
CHAOS_SECONDS is how long they write in each layout.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import randrange

from django.conf import settings
from redis.exceptions import ConnectionError as RedisConnectionError

from conversation_memory import ConversationIndex, Run, conf
from conversation_memory.documents import read
from conversation_memory.exceptions import RedisUnavailable

from .archives import dumped
from .chaos import SHARED
from .programs import start
from .searching import settled
from .utils import each_layout

ROOT = Path(__file__).parent.parent
SECONDS = float(os.environ.get("CHAOS_SECONDS", 2.5))
NAMES = "abcdefgh"
OF_SEARCH = {b"run", b"documents", b"tokens", b"owners", b"search"}
DURABLE = {"appendonly": "yes", "appendfsync": "always"}


class Chaos:
    searches = False

    def setUp(self):
        server = start(search=self.searches, options=DURABLE)
        self.server = self.enterContext(server)
        self.enterContext(self.settings(REDIS_URL=self.server.url))
        super().setUp()
        self.seed = randrange(2**32)
        for id in SHARED:
            self.index.driver(id).append(Run("?", "!", id="0"))

    def written(self):
        """The models of all writers, who are done."""
        writers = self.writers()
        assert writers.stdout.readline() == "ready\n"
        writers.stdin.write("go\n")
        writers.stdin.flush()
        self.fail_them()
        answer, _ = writers.communicate(timeout=60)
        assert writers.returncode == 0, f"seed {self.seed}"
        models = json.loads(answer)
        assert all(model["lost"] for model in models)  # or nothing was tested
        return models

    def check(self, models):
        self.index.reap()
        self.check_shared(models)
        for model in models:
            self.check_own(model)
        self.check_keys()

    def writers(self):
        entry = {
            "URL": self.server.url,
            "INDEX": self.index.name,
            "OPTIONS": {"socket_timeout": 0.15},
            **self.entry,
        }
        arguments = [NAMES, str(SECONDS), str(self.seed), json.dumps(entry)]
        writers = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.addCleanup(writers.__exit__, None, None, None)
        self.addCleanup(writers.kill)
        return writers

    def fail_them(self):
        self.disturb(SECONDS)

    def disturb(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.3)
            self.send("CLIENT", "KILL", "TYPE", "normal")
            time.sleep(0.3)
            self.send("CLIENT", "PAUSE", 200)

    def send(self, *command):
        try:
            self.redis.execute_command(*command)
        except RedisConnectionError:  # it is the old connection, to the server that was killed
            self.redis.execute_command(*command)

    def check_shared(self, models):
        for id in models[0]["shared"]:
            runs, metadata = self.index.driver(id).load()
            expected = {}
            for name, model in zip(NAMES, models, strict=True):
                theirs = model["shared"][id]
                found = [(run.id, run.output.text) for run in runs if run.id[0] == name]
                assert found == list(theirs["runs"].items())
                expected |= theirs["metadata"]
            assert {*metadata} == {*expected}
            assert metadata == expected

    def check_own(self, model):
        for id, expected in model["own"].items():
            found = self.index.driver(id).read()
            texts = [(run.id, run.output.text) for run in found.runs]
            assert texts == list(expected["runs"].items())
            assert found.metadata == expected["metadata"]
            assert found.record.owner == expected["owner"]
            assert (found.record.expires is not None) == expected["expires"]
        assert not [id for id in model["gone"] if self.index.driver(id).exists()]

    def check_keys(self):
        """Every key belongs to a conversation, and says of it what is so."""
        records = {id: self.check_conversation(id) for id in self.redis.hkeys(self.index.name)}
        orders = {b"recent": {}, b"expiry": {}}
        for id, record in records.items():
            orders[b"recent"][id] = float(record[b"updated"])
            if owner := record.get(b"owner"):
                orders.setdefault(b"owner:" + owner, {})[id] = float(record[b"updated"])
            if deadline := record.get(b"expires"):
                orders[b"expiry"][id] = float(deadline)
        expected = {b"record:" + id for id in records} | {k for k, v in orders.items() if v}
        expected |= {b"runs:" + id for id, record in records.items() if has_list(record)}
        found = {key.partition(b"}:")[2] for key in self.keys()} - {b""}  # that of the hash
        found = {name for name in found if name.partition(b":")[0] not in OF_SEARCH}
        known = {b"ids:" + id for id, record in records.items() if has_list(record)}
        assert found - known == expected
        for name, order in orders.items():
            assert dict(self.redis.zrange(self.key(name), 0, -1, withscores=True)) == order

    def check_conversation(self, id):
        """Runs and bytes are what the record says. Returns the record."""
        record = self.redis.hgetall(self.key(b"record:" + id))
        texts = self.redis.lrange(self.key(b"runs:" + id), 0, -1)
        document = self.stored(id)
        if is_list(record):
            assert int(record[b"bytes"]) == sum(map(len, texts)), id
            count = len(texts)
        else:
            count = read(document).count
        assert (int(record[b"runs"]), int(record[b"length"])) == (count, len(document)), id
        return record

    def key(self, name):
        return b"{%b}:%b" % (self.index.name.encode(), name)


@each_layout
class ChaosTests(Chaos):
    def test_what_was_acknowledged_is_there_once_and_nothing_else(self):
        self.check(self.written())

    def fail_them(self):
        self.disturb(SECONDS / 2)
        self.server.kill()
        time.sleep(0.2)
        self.server.restart()
        self.disturb(SECONDS / 2 - 0.5)


@each_layout
class OperatorChaosTests(Chaos):
    entry = {"SEARCH": True}
    searches = True

    def test_every_run_is_found_once_beside_all_that_operators_do(self):
        stop, done = threading.Event(), Counter()
        with ThreadPoolExecutor() as pool:
            works = [
                pool.submit(self.operate, operation, stop, done) for operation in self.operations()
            ]
            try:
                models = self.written()
            finally:
                stop.set()
            for work in works:
                work.result()
        self.index.convert()
        self.check(models)
        self.check_search()

    def operations(self):
        other = {"hash": "list", "list": "hash"}[self.entry["LAYOUT"]]
        with self.settings(REDIS={"default": {**settings.REDIS["default"], "LAYOUT": other}}):
            back = ConversationIndex(conf.get("default"))
        self.addCleanup(back._connection.close)

        def reindex():
            self.index.reindex()

        def check():
            self.index.check(fix=True)

        def convert():
            self.index.convert()

        def convert_back():
            back.convert()

        def dump():
            assert dumped(self.index)

        return reindex, check, convert, convert_back, dump

    def operate(self, operation, stop, done):
        while not (stop.is_set() and done[operation.__name__]):
            try:
                operation()
                done[operation.__name__] += 1
            except RedisUnavailable:
                time.sleep(0.01)

    def check_search(self):
        state = settled(self.index.search_state)
        assert state.kind == "ready", (state.reason, self.seed)
        assert self.index.check().problems == {}, self.seed
        expected = [(id, run.id) for id in self.index for run in self.index.driver(id).load()[0]]
        assert len({*expected}) == len(expected)
        found, results = [], self.index.search(limit=1000, order_by="time")
        found += results
        while results.next:
            results = self.index.search(limit=1000, order_by="time", after=results.next)
            found += results
        assert sorted((hit.conversation_id, hit.run_id) for hit in found) == sorted(expected)


def is_list(record):
    return record[b"layout"] == b"list"


def has_list(record):
    return is_list(record) and record[b"runs"] != b"0"
