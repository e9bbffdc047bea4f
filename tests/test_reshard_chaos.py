"""Movers and Redis are killed with -9 while others write: nothing is lost, and nothing doubled.

CHAOS_SECONDS is how long they are killed.
"""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from conversation_memory import Run

from .programs import start
from .reply_workers import patiently
from .resharding import ReshardTestCase
from .sharding import ids
from .test_chaos import DURABLE
from .utils import each_layout
from .writers import written

ROOT = Path(__file__).parent.parent
SECONDS = float(os.environ.get("CHAOS_SECONDS", 1.5))
CONVERSATIONS = 200 if SECONDS < 5 else 900


@each_layout
class ReshardChaosTests:
    case = ReshardTestCase
    entry = {"OPTIONS": {"socket_timeout": 0.5}}

    def setUp(self):
        self.server = self.enterContext(start(options=DURABLE))
        self.enterContext(self.settings(REDIS_URL=self.server.url))
        super().setUp()

    def mover(self, shards):
        """A process that has begun to move the index."""
        own = {"URL": self.server.url, "INDEX": self.index.name, "SHARDS": shards, **self.entry}
        command = [sys.executable, "-m", "tests.movers", json.dumps(own)]
        errors = subprocess.DEVNULL
        mover = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors)
        self.addCleanup(mover.stdout.close)
        mover.stdout.readline()
        return mover

    def disturb(self):
        end, numbers = time.monotonic() + SECONDS, random.choices((2, 3, 4), k=1000)
        for number in numbers:
            noted = patiently(self.noted_here)
            shards = noted.number if noted.before else number
            movers = [self.mover(shards) for _ in range(random.choice((1, 2)))]
            time.sleep(random.random() * 0.3)
            if random.random() < 0.3:
                self.server.kill()
                self.server.restart()
            for mover in movers:
                if random.random() < 0.8:
                    mover.kill()
                mover.wait()
            if time.monotonic() > end:
                return

    def noted_here(self):
        index = self.at(2)
        index.count()
        return index._spread

    def test_nothing_is_lost_or_doubled(self):
        index, names = self.at(3), {f"c{number}" for number in range(CONVERSATIONS)}
        for name in names:
            index.driver(name, owner="ann").append(Run("q", "a", id="r"))
        outcome = written(index, self.disturb, writers=4)
        print(outcome)
        assert outcome.acknowledged and outcome.lost == outcome.doubled == 0
        shards = patiently(self.noted_here).number
        assert patiently(self.at(shards).reshard).failed == 0
        for known in (index, self.at(shards)):
            assert sorted(ids(known.select())) == sorted([*names, *writers()])
            assert {*ids(known.recent(1000, owner="ann"))} == names
            assert not known.check().problems


def writers():
    return [f"writer-{number}" for number in range(4)]
