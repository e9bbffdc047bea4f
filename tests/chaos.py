"""The writers of the chaos test: processes that keep a model of all that Redis has acknowledged.

python -m tests.chaos NAMES SECONDS SEED ENTRY

It says "ready", waits for a line, forks a writer for each letter of NAMES, and prints their models
and how often an answer was lost. A model holds the runs and the metadata of its process only.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import count
from random import Random

import django
from django.conf import settings

OWNERS = (None, "ada", "grace")
SHARED = [f"shared-{number}" for number in range(3)]
SOON, LATER = 0.05, 3600  # seconds; LATER is after the test


@dataclass
class Model:
    """A conversation, or what one process has written to it."""

    runs: dict[str, str] = field(default_factory=dict)  # text by id, in order
    metadata: dict[str, int] = field(default_factory=dict)
    owner: str | None = None
    expires: bool = False


class Writer:
    def __init__(self, name, index, seed):
        self.name = name
        self.index = index
        self.random = Random(f"{seed} {name}")
        self.numbers = count()
        self.shared = {id: Model() for id in SHARED}
        self.drivers = {id: index.driver(id) for id in SHARED}
        self.own = {}
        self.free = [f"{name}-{number}" for number in range(4)]
        self.lost = 0
        self.done = Counter()

    def write(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.random.choice((self.in_shared, self.in_shared, self.in_own, self.in_all))()

    def in_shared(self):
        id, model = self.random.choice(list(self.shared.items()))
        if len(model.runs) > 20:
            self.do(remove, id, model)
        else:
            self.do(self.random.choice(IN_SHARED), id, model)

    def in_own(self):
        if self.free and (len(self.own) < 2 or self.random.random() < 0.1):
            return self.do(begin, *self.take_free())
        id, model = self.random.choice(list(self.own.items()))
        self.do(self.random.choice(IN_OWN), id, model)

    def in_all(self):
        owner = self.random.choice(OWNERS)
        look = self.random.choice(
            (lambda: self.index.recent(5, owner=owner), lambda: self.index.reap())
        )
        self.confirmed(look)

    def do(self, operation, id, model):
        operation(self, id, model)
        self.done[operation.__name__] += 1

    def take_free(self):
        id = self.free.pop(self.random.randrange(len(self.free)))
        return id, Model(owner=self.random.choice(OWNERS))

    def driver(self, id, model):
        """Of a shared conversation always the same; any other one with or without its owner."""
        if id in self.drivers:
            return self.drivers[id]
        return self.index.driver(id, owner=self.random.choice((None, model.owner)))

    def new_run(self, id=None):
        from conversation_memory import Run

        return Run("?", self.text(), id=id or f"{self.name}-{next(self.numbers)}")

    def text(self):
        return f"{next(self.numbers)} " + "é" * self.random.choice((10, 100, 1000))

    def confirmed(self, call):
        """What `call`, which may be repeated, returns when Redis answers."""
        from conversation_memory.exceptions import RedisUnavailable

        while True:
            try:
                return call()
            except RedisUnavailable:
                self.lost += 1
                time.sleep(0.01)

    def once(self, call, is_done):
        """`call`, which must not be repeated if it was done: ask `is_done` when an answer is lost.

        Where redis-py has repeated it by itself, the answer says that there is nothing to do.
        """
        from conversation_memory.exceptions import (
            ConversationConflict,
            ConversationNotFound,
            RedisUnavailable,
        )

        while True:
            try:
                return call()
            except RedisUnavailable:
                self.lost += 1
                refusal = None
            except (ConversationConflict, ConversationNotFound) as error:
                refusal = error
            if self.confirmed(is_done):
                return None
            if refusal:
                raise refusal

    def exists(self, id):
        return self.index.driver(id).exists()


def begin(writer, id, model):
    driver = writer.index.driver(id, owner=model.owner)
    run = writer.new_run()
    writer.confirmed(lambda: driver.append(run))
    model.runs[run.id] = run.output.text
    writer.own[id] = model


def append(writer, id, model):
    driver = writer.driver(id, model)
    runs = [writer.new_run() for _ in range(writer.random.choice((1, 1, 1, 3)))]
    writer.confirmed(lambda: driver.append(*runs))
    model.runs |= {run.id: run.output.text for run in runs}


def edit(writer, id, model):
    if not model.runs:
        return
    run = writer.new_run(writer.random.choice(list(model.runs)))
    writer.confirmed(lambda: writer.driver(id, model).edit(run))
    model.runs[run.id] = run.output.text


def remove(writer, id, model):
    if not model.runs:
        return
    driver, run_id = writer.driver(id, model), writer.random.choice(list(model.runs))
    writer.once(
        lambda: driver.remove(run_id),
        lambda: all(run.id != run_id for run in driver.load()[0]),
    )
    del model.runs[run_id]


def truncate(writer, id, model):
    if not model.runs:
        return
    after = writer.random.choice(list(model.runs))
    writer.confirmed(lambda: writer.driver(id, model).truncate(after=after))
    model.runs = until(model.runs, after)


def until(runs, last):
    ids = list(runs)
    return {id: runs[id] for id in ids[: ids.index(last) + 1]}


def store(writer, id, model):
    from conversation_memory import Run

    kept = list(model.runs.items())[: writer.random.choice((None, None, 3))]
    runs = [Run("?", text, id=run_id) for run_id, text in kept] + [writer.new_run()]
    writer.confirmed(lambda: writer.driver(id, model).store(runs, model.metadata))
    model.runs = {run.id: run.output.text for run in runs}


def update_metadata(writer, id, model):
    key, value = f"{writer.name}-{writer.random.randrange(3)}", next(writer.numbers)
    dropped = [key for key in model.metadata if writer.random.random() < 0.2]
    driver = writer.driver(id, model)
    writer.confirmed(lambda: driver.update_metadata({key: value}, remove=dropped))
    model.metadata = {k: v for k, v in model.metadata.items() if k not in dropped} | {key: value}


def fork(writer, id, model):
    if not (writer.free and model.runs):
        return
    target, copy = writer.take_free()
    last = writer.random.choice(list(model.runs))
    driver = writer.index.driver(id)  # so that the copy is nobody's
    writer.once(lambda: driver.fork(target, until=last), lambda: writer.exists(target))
    copy.owner, copy.runs, copy.metadata = None, until(model.runs, last), dict(model.metadata)
    if id in writer.shared:  # then it has what others wrote, too
        look(writer, target, copy)
        return delete(writer, target, copy)
    writer.own[target] = copy


def rename(writer, id, model):
    if not writer.free:
        return
    target, _ = writer.take_free()
    driver = writer.driver(id, model)
    writer.once(lambda: driver.rename(target), lambda: writer.exists(target))
    writer.free.append(id)
    writer.own[target] = writer.own.pop(id)


def move_to(writer, id, model):
    owner = writer.random.choice(OWNERS)
    driver = writer.driver(id, model)
    writer.once(
        lambda: driver.move_to(owner),
        lambda: writer.index.driver(id).record().owner == owner,
    )
    model.owner = owner


def expire(writer, id, model):
    writer.confirmed(lambda: writer.driver(id, model).expire(LATER))
    model.expires = True


def expire_soon(writer, id, model):
    writer.once(lambda: writer.driver(id, model).expire(SOON), lambda: not writer.exists(id))
    time.sleep(2 * SOON)
    assert not writer.confirmed(lambda: writer.exists(id)), f"{id} is past its deadline"
    del writer.own[id]
    writer.free.append(id)


def persist(writer, id, model):
    writer.confirmed(lambda: writer.driver(id, model).persist())
    model.expires = False


def delete(writer, id, model):
    writer.confirmed(lambda: writer.driver(id, model).delete())
    assert not writer.confirmed(lambda: writer.exists(id)), f"{id} was deleted"
    writer.own.pop(id, None)
    writer.free.append(id)


def look(writer, id, model):
    """What this process has written is there, at any moment."""
    runs, metadata = writer.confirmed(lambda: writer.driver(id, model).load())
    texts = [(run.id, run.output.text) for run in runs]
    assert len(dict(texts)) == len(texts), f"{id} has a run twice: {[id for id, _ in texts]}"
    found = {run_id: text for run_id, text in texts if run_id.startswith(f"{writer.name}-")}
    assert list(found.items()) == list(model.runs.items()), (id, list(found), list(model.runs))
    mine = {key: metadata[key] for key in metadata if key.startswith(f"{writer.name}-")}
    assert mine == model.metadata, (id, mine, model.metadata)


IN_SHARED = [append, append, append, edit, remove, update_metadata, fork, move_to, look]
IN_SHARED += [expire, persist]
IN_OWN = [append, append, edit, remove, truncate, store, update_metadata, fork, rename, move_to]
IN_OWN += [expire, expire_soon, persist, delete, look]


def written(name, seconds, seed):
    """What a process of its own has written, as JSON has it."""
    from conversation_memory import indexes

    writer = Writer(name, indexes["default"], seed)
    writer.write(float(seconds))
    indexes.close()
    models = {"shared": writer.shared, "own": writer.own}
    dicts = {kind: {id: asdict(m) for id, m in found.items()} for kind, found in models.items()}
    return {**dicts, "gone": writer.free, "lost": writer.lost, "done": writer.done}


def main(names, seconds, seed, entry):
    settings.configure(
        INSTALLED_APPS=["conversation_memory"], REDIS={"default": json.loads(entry)}, USE_TZ=True
    )
    django.setup()
    print("ready", flush=True)
    sys.stdin.readline()
    with multiprocessing.get_context("fork").Pool(len(names)) as pool:
        print(json.dumps(pool.starmap(written, [(name, seconds, seed) for name in names], 1)))


if __name__ == "__main__":
    main(*sys.argv[1:])
