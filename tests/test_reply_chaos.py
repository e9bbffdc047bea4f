"""Questions asked while workers and Redis are killed with -9: each gets one answer, whole.

CHAOS_SECONDS is how long they are killed.
"""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from .programs import start
from .reply_workers import WORDS, patiently
from .test_chaos import DURABLE
from .utils import each_layout

ROOT = Path(__file__).parent.parent
SECONDS = float(os.environ.get("CHAOS_SECONDS", 1.2))
WORKERS, CONVERSATIONS = 3, 5


@each_layout
class ReplyChaosTests:
    entry = {"REPLY_LEASE": 0.2, "OPTIONS": {"socket_timeout": 0.5}}

    def setUp(self):
        self.server = self.enterContext(start(options=DURABLE))
        self.enterContext(self.settings(REDIS_URL=self.server.url))
        super().setUp()
        self.workers = []
        self.addCleanup(self.kill, WORKERS)
        self.asked = []

    def start(self):
        entry = {"URL": self.server.url, "INDEX": self.index.name, **self.entry}
        command = [sys.executable, "-m", "tests.reply_workers", json.dumps(entry)]
        self.workers.append(subprocess.Popen(command, cwd=ROOT))

    def kill(self, count=1):
        for _ in range(min(count, len(self.workers))):
            worker = self.workers.pop(0)
            worker.kill()
            worker.wait()

    def ask(self):
        number = len(self.asked)
        driver = self.index.driver(f"c{number % CONVERSATIONS}")
        patiently(lambda: driver.begin("Why?", run_id=f"r{number}"))
        self.asked.append(f"r{number}")

    def is_done(self):
        return not patiently(self.index.open_runs)

    def test_each_question_has_one_whole_answer(self):
        for _ in range(WORKERS):
            self.start()
        end, next_kill = time.monotonic() + SECONDS, 0.5
        while time.monotonic() < end:
            self.ask()
            time.sleep(0.02)
            if time.monotonic() > end - SECONDS + next_kill:
                next_kill += 0.5
                random.choice((self.kill_worker, self.kill_redis))()
        while not self.is_done():
            time.sleep(0.05)
            assert time.monotonic() < end + 60, self.index.open_runs()
        self.check()

    def kill_worker(self):
        self.kill()
        self.start()

    def kill_redis(self):
        self.server.kill()
        self.server.restart()

    def check(self):
        found, text = [], " ".join(WORDS)
        for number in range(CONVERSATIONS):
            for run in self.index.driver(f"c{number}").load()[0]:
                found.append(run.id)
                assert run.output.text == text, run.output.text
        assert sorted(found) == sorted(self.asked)
        assert self.index.check().left == 0
