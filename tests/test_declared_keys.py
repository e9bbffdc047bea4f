"""Which keys scripts touch without declaring them: some hosted servers refuse that.

Only those of search documents are, which no such server can have. On a cluster of Redis they work,
as they are in the slot of those that are declared.
"""

from conversation_memory.redis_io import scripts

from .test_resends import WRITES, map_runs, open_runs
from .utils import RedisTestCase, each_layout, monitored

OF_SEARCH = {"run", "documents", "tokens", "owners", "search", "unembedded"}

ALL_ARE_KEYS = ("DEL", "EXISTS", "RENAME", "UNLINK")
WITHOUT_KEYS = ("TIME", "ACL", "PUBLISH")


def undeclared(sent):
    """The keys that scripts touched and that their calls did not declare."""
    declared, found = set(), set()
    for line in sent:
        name, *words = line["command"].split(" ")
        if name.upper() == "EVALSHA":
            declared = {*words[2 : 2 + int(words[1])]}
        elif line["client_type"] == "lua" and name.upper() not in WITHOUT_KEYS:
            keys = words if name.upper() in ALL_ARE_KEYS else words[:1]
            found |= {*keys} - declared
    return found


class Declared:
    def prepare(self):
        for id in ("c", "d"):
            driver = self.index.driver(id, owner="ann")
            driver.append(*map_runs(5))
            driver.update_metadata({"a": 1})
        open_runs(self.index.driver("c"))
        self.put("stock", b'{"runs": [], "metadata": {}}')

    def kinds(self):
        """The kinds of all keys that some write touches undeclared."""
        for source in scripts._sources.values():
            self.redis.script_load(source)
        with monitored(self.redis) as sent:
            for write, _ in WRITES.values():
                self.wipe()
                self.prepare()
                write(self.index, self.index.driver("c", owner="ann"))
        keys = self.index._layout.keys
        return {keys.family(key.encode())[0].decode() for key in undeclared(sent)}


@each_layout
class DeclaredKeyTests(Declared):
    def test_writes_touch_no_other_keys(self):
        assert self.kinds() == set()


class SearchedKeyTests(Declared, RedisTestCase):
    entry = {"SEARCH": True, "LAYOUT": "list"}

    def test_writes_touch_those_of_search_too(self):
        assert self.kinds() <= OF_SEARCH
