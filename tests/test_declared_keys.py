"""Which keys scripts touch without declaring them: some hosted servers refuse that.

Only those of search documents are, which no such server can have. On a cluster of Redis they work,
as they are in the slot of those that are declared.
"""

import time
from unittest import mock

import pytest

from conversation_memory import layouts
from conversation_memory.exceptions import ConversationConflict
from conversation_memory.layouts.base import erasing
from conversation_memory.layouts.declared import redeclared

from .archives import dumped, restored
from .test_resends import WRITES, map_runs, open_runs
from .utils import RedisTestCase, both, each_layout, monitored

OF_SEARCH = {"run", "documents", "tokens", "owners", "search", "unembedded"}

ALL_ARE_KEYS = ("DEL", "EXISTS", "RENAME", "UNLINK")
WITHOUT_KEYS = ("TIME", "ACL", "PUBLISH")


def undeclared(sent):
    """The keys that scripts touched and that their calls did not declare."""
    declared, found = set(), set()
    for line in sent:
        name, *words = line["command"].split(" ")
        if name == "EVALSHA":
            declared = {*words[2 : 2 + int(words[1])]}
        elif name == "EVAL":  # in a check of search documents; its source hides the keys
            declared = None
        elif declared is not None and line["client_type"] == "lua" and name not in WITHOUT_KEYS:
            found |= {*(words if name in ALL_ARE_KEYS else words[:1])} - declared
    return found


class Declared:
    def prepare(self):
        for id in ("c", "d"):
            driver = self.index.driver(id, owner="ann")
            driver.append(*map_runs(5))
            driver.update_metadata({"a": 1})
        open_runs(self.index.driver("c"))
        self.put("stock", b'{"runs": [], "metadata": {}}')

    def write(self):
        for write in [*(write for write, _ in WRITES.values()), replace, reap, check]:
            self.wipe()
            self.prepare()
            write(self.index, self.index.driver("c", owner="ann"))

    def kinds(self):
        """The kinds of all keys that some write touches undeclared."""
        self.write()  # the server knows all scripts then, and is sent no source
        with monitored(self.redis) as sent:
            self.write()
        is_complete = not any(line["command"].startswith("EVAL ") for line in sent)
        assert is_complete or self.index.settings.search
        keys = self.index._layout.keys
        return {keys.family(key.encode())[0].decode() for key in undeclared(sent)}


@each_layout
class DeclaredKeyTests(Declared):
    def test_writes_touch_no_other_keys(self):
        assert self.kinds() == set()

    def test_a_script_names_the_streams_that_it_lacks_until_all_are_there(self):
        self.prepare()
        keys, driver = self.index._layout.keys, self.index.driver("c", owner="ann")
        streams = [keys.chunks(b"c", run) for run in (b"waiting", b"claimed", b"later")]
        erasure = erasing(keys, b"c", b"ann")
        named = self.index._run(sent(erasure))
        assert (named[0], {*named[1:]}) == (b"names", {*streams[:2]})
        driver.begin("And then?", run_id="later")  # before the second call
        [erased] = self.index._run(redeclared([erasure], [named]))
        assert erased[0] == 1
        assert not self.redis.exists(*streams)
        assert "c" not in {*self.index}

    def test_a_restore_takes_no_refusal_for_what_was_written(self):
        driver = self.index.driver("names", owner="ann")
        driver.append(*map_runs(2))
        open_runs(driver)
        archive = dumped(self.index)
        driver.append(*map_runs(3))
        keeps_changing = mock.patch.object(layouts.declared, "_ATTEMPTS", 0)
        with keeps_changing, pytest.raises(ConversationConflict):
            restored(self.index, archive, on_conflict="replace")
        assert driver.record().runs == 3

    @both
    def test_an_expired_conversation_gives_way_with_all_its_keys(self, index):
        self.prepare()
        driver = index.driver("c", owner="ann")
        driver.expire(0.001)
        wait_until_past(driver)
        assert driver.append(*map_runs(1)) == 1
        assert [run.id for run in driver.load()[0]] == ["0"]
        assert driver.open_runs() == []
        assert not [key for key in self.keys() if b":chunks:" in key]


def replace(index, driver):
    archive = dumped(index)
    driver.append(*map_runs(6))
    assert restored(index, archive, on_conflict="replace").replaced == 1


def reap(index, driver):
    driver.expire(0.001)
    wait_until_past(driver)
    assert index.reap() == 1


def check(index, driver):
    index.inspect("c")
    driver.expire(0.001)
    wait_until_past(driver)
    index.check(fix=True)


def sent(command):
    """The operation of one command."""
    return (yield command)


def wait_until_past(driver):
    while driver.exists():
        time.sleep(0.001)


class SearchedKeyTests(Declared, RedisTestCase):
    entry = {"SEARCH": True, "LAYOUT": "list"}

    def test_writes_touch_those_of_search_too(self):
        assert self.kinds() <= OF_SEARCH
