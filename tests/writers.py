"""Writers that append while servers fail, and what became of their runs."""

import threading
import time
from dataclasses import dataclass, field

from conversation_memory import Run
from conversation_memory.exceptions import RedisNotReplicated, RedisReadOnly, RedisUnavailable

# A write that a demoted master rejects is not applied, and may be repeated like the others.
FAILURES = (RedisUnavailable, RedisReadOnly)


@dataclass
class Writer:
    """Appends to one conversation until it is stopped, and goes on after failures."""

    index: object
    name: str
    wait: object = None
    acknowledged: list = field(default_factory=list)
    unreplicated: list = field(default_factory=list)
    failures: list = field(default_factory=list)
    gap: float = 0.0  # the longest time between two acknowledged runs, in seconds
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self):
        driver = self.index.driver(self.name, wait=self.wait)
        number, before = 0, time.monotonic()
        while not self.stop.is_set():
            number += 1
            try:
                driver.append(Run("?", "!", id=str(number)))
            except RedisNotReplicated:
                self.unreplicated.append(str(number))
            except FAILURES as error:
                self.failures.append(error)
                time.sleep(0.02)
            else:
                now = time.monotonic()
                self.gap, before = max(self.gap, now - before), now
                self.acknowledged.append(str(number))


@dataclass
class Outcome:
    """What several writers were told, and what is stored."""

    acknowledged: int
    lost: int
    doubled: int
    unreplicated: int
    failures: int
    gap: float


def written(index, fail, *, writers=8, wait=None):
    """Let `writers` append while `fail()` runs."""
    working = [Writer(index, f"writer-{number}", wait) for number in range(writers)]
    threads = [threading.Thread(target=writer.run) for writer in working]
    for thread in threads:
        thread.start()
    try:
        fail()
    finally:
        for writer in working:
            writer.stop.set()
        for thread in threads:
            thread.join()
    return _outcome(index, working)


def _outcome(index, working):
    lost = doubled = 0
    for writer in working:
        stored = [run.id for run in index.driver(writer.name).load()[0]]
        lost += len({*writer.acknowledged} - {*stored})
        doubled += len(stored) - len({*stored})
    return Outcome(
        acknowledged=sum(len(writer.acknowledged) for writer in working),
        lost=lost,
        doubled=doubled,
        unreplicated=sum(len(writer.unreplicated) for writer in working),
        failures=sum(len(writer.failures) for writer in working),
        gap=max(writer.gap for writer in working),
    )
