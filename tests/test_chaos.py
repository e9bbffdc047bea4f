"""Eight processes, mixed operations, and a server that fails them in every way it can.

CHAOS_SECONDS is how long they write in each layout.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from random import randrange

from redis.exceptions import ConnectionError as RedisConnectionError

from conversation_memory import Run
from conversation_memory.documents import read
from example_project.embedded_redis import EmbeddedRedis

from .chaos import SHARED
from .utils import each_layout

ROOT = Path(__file__).parent.parent
SECONDS = float(os.environ.get("CHAOS_SECONDS", 4))
NAMES = "abcdefgh"
DURABLE = {"appendonly": "yes", "appendfsync": "always"}


@each_layout
class ChaosTests:
    def setUp(self):
        self.server = self.enterContext(EmbeddedRedis(search=False, options=DURABLE))
        self.enterContext(self.settings(REDIS_URL=self.server.url))
        super().setUp()
        self.seed = randrange(2**32)
        for id in SHARED:
            self.index.driver(id).append(Run("?", "!", id="0"))

    def test_what_was_acknowledged_is_there_once_and_nothing_else(self):
        writers = [self.writer(name) for name in NAMES]
        self.fail_them(writers)
        models = [self.model_of(writer) for writer in writers]
        assert all(model["lost"] for model in models)  # or nothing was tested
        self.index.reap()
        self.check_shared(models)
        for model in models:
            self.check_own(model)
        self.check_keys()

    def writer(self, name):
        entry = {
            "URL": self.server.url,
            "INDEX": self.index.name,
            "OPTIONS": {"socket_timeout": 0.15},
            **self.entry,
        }
        arguments = [name, str(SECONDS), str(self.seed), json.dumps(entry)]
        writer = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.addCleanup(writer.__exit__, None, None, None)
        self.addCleanup(writer.kill)
        return writer

    def fail_them(self, writers):
        for writer in writers:
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            writer.stdin.write("go\n")
            writer.stdin.flush()
        self.disturb(SECONDS / 2)
        self.server.kill()
        time.sleep(0.2)
        self.server.restart()
        self.disturb(SECONDS / 2 - 0.5)

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

    def model_of(self, writer):
        answer, _ = writer.communicate(timeout=60)
        assert writer.returncode == 0, f"seed {self.seed}"
        return json.loads(answer)

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
        assert found == expected
        for name, order in orders.items():
            assert dict(self.redis.zrange(self.key(name), 0, -1, withscores=True)) == order

    def check_conversation(self, id):
        """Runs and bytes are what the record says. Returns the record."""
        record = self.redis.hgetall(self.key(b"record:" + id))
        texts = self.redis.lrange(self.key(b"runs:" + id), 0, -1)
        document = self.stored(id)
        if is_list(record):
            count, size = len(texts), sum(map(len, texts))
        else:
            count, size = read(document).count, len(document)
        assert (int(record[b"runs"]), int(record[b"bytes"])) == (count, size), id
        return record

    def key(self, name):
        return b"{%b}:%b" % (self.index.name.encode(), name)


def is_list(record):
    return record[b"seal"].startswith(b"list-")


def has_list(record):
    return is_list(record) and record[b"runs"] != b"0"
