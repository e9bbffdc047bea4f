"""What belongs to conversations moves with them: search, vectors, secrets, agents, items."""

from importlib.util import find_spec
from unittest import skipUnless

from conversation_memory import Run

from .embedders import DIMENSIONS
from .encrypting import HAS_CRYPTOGRAPHY, encryption
from .resharding import ReshardTestCase
from .searching import settled

HAS_LANGGRAPH = find_spec("langgraph") is not None
if HAS_LANGGRAPH:
    from conversation_memory.integrations.langgraph import ConversationBaseStore, ConversationSaver

    from .integrations.langgraph_agents import agent, human

SEARCH = {"FIELDS": {"topic": "tag", "score": "numeric"}}
EMBED = {"EMBED": "tests.embedders.embed", "DIMENSIONS": DIMENSIONS}
MOVES = ((1, 3), (3, 2))


class SearchTests(ReshardTestCase):
    entry = {"SEARCH": {**SEARCH, **EMBED}, "LAYOUT": "list"}

    def at(self, shards):
        index = super().at(shards)
        settled(index.search_state)
        return index

    def write(self, index):
        for number in range(8):
            driver = index.driver(f"c{number}", owner="ab"[number % 2])
            driver.append(Run(f"a lighthouse {number}", "by the sea", id=f"r{number}"))
            driver.update_metadata({"topic": f"t{number % 3}", "score": number})
        index.driver("long").append(*(Run(f"a harbour {n}", "", id=f"h{n}") for n in range(250)))

    def answers(self, index):
        """What searches find, in their order."""
        settled(index.search_state)
        found = index.search("lighthouse", order_by="time", limit=50)
        topics = index.search("sea", where={"topic": "t1"}, limit=50)
        many = index.search("harbour", limit=50)
        return (
            [(hit.run.id, hit.time, hit.conversation_id) for hit in found],
            sorted(hit.run.id for hit in topics),
            (many.total, found.complete, topics.complete),
            dict(index.facets("topic", "lighthouse").items()),
            sorted(hit.run.id for hit in index.search("sea", owner="a")),
        )

    def documents(self, index):
        """The search documents by what they are about, without names that stand for others."""
        found = {}
        for shard in index.shards:
            for key in self.redis.scan_iter(f"{{{shard.name}}}:run:*", count=1000):
                fields = self.redis.hgetall(key)
                token = fields.pop(b"c"), fields.pop(b"o", None)
                assert self.redis.hget(f"{{{shard.name}}}:tokens", token[0])
                found[key.rpartition(b":")[2], fields[b"t"]] = fields
        return found

    def test_searches_find_the_same_in_the_same_order(self):
        for before, after in MOVES:
            old = self.at(before)
            self.write(old)
            old.embed()
            answers, documents = self.answers(old), self.documents(old)
            assert len(documents) == 258 and all(b"v" in it for it in documents.values())
            new = self.at(after)
            assert new.reshard().failed == 0
            assert self.answers(new) == answers
            assert self.documents(new) == documents
            assert new.embed() == 0 and not new.check().problems
            self.drop_all(old, new)

    def test_a_half_of_it_is_found_as_a_whole(self):
        old = self.at(3)
        self.write(old)
        answers = self.answers(old)
        new = self.begun(2)
        self.moved(new, "c0", "c3", "c4", "long")
        for index in (old, new):
            assert self.answers(index) == answers

    def drop_all(self, *indexes):
        self.wipe()
        for index in indexes:
            for shard in index.shards:
                for name in self.redis.execute_command("FT._LIST"):
                    if name.startswith(f"{{{shard.name}}}:".encode()):
                        self.redis.execute_command("FT.DROPINDEX", name)


@skipUnless(HAS_CRYPTOGRAPHY, "cryptography is not installed")
class EncryptedTests(ReshardTestCase):
    entry = {"ENCRYPTION": encryption("a"), "LAYOUT": "list"}

    def test_what_is_encrypted_moves_as_it_is(self):
        for before, after in MOVES:
            old, new = self.at(before), self.at(after)
            self.fill(old)
            facts, archive = self.facts(old), self.archived(old)
            done = new.reshard()
            assert done.failed == 0 and self.facts(new) == facts
            assert len(self.archived(new)) == len(archive)
            assert new.driver("runs").load()[0][0].output.text == "a 0"
            assert new.health(within=10)["encryption"].state == "ok"
            self.wipe()


@skipUnless(HAS_LANGGRAPH, "needs langgraph")
class AgentTests(ReshardTestCase):
    def test_agents_and_stores_go_on(self):
        for before, after in MOVES:
            old = self.at(before)
            old.count()
            saver, store = ConversationSaver(old), ConversationBaseStore(old, owner="ann")
            for name in ("t1", "t2", "t3"):
                agent(saver).invoke(human("Hello"), {"configurable": {"thread_id": name}})
                store.put(("likes", name), "k", {"n": name}, ttl=None)
            history = [*saver.list({"configurable": {"thread_id": "t1"}})]
            new = self.begun(after)
            if before > 1:  # which has not been told
                assert [*saver.list({"configurable": {"thread_id": "t1"}})] == history
                store.put(("likes", "t1"), "more", {"n": 2})
                agent(saver).invoke(human("More"), {"configurable": {"thread_id": "t2"}})
            now, items = ConversationSaver(new), ConversationBaseStore(new, owner="ann")
            assert items.get(("likes", "t3"), "k").value == {"n": "t3"}
            assert new.reshard().failed == 0
            assert [*now.list({"configurable": {"thread_id": "t1"}})] == history
            assert len(items.search(("likes",))) == (4 if before > 1 else 3)
            assert len(items.list_namespaces()) == 3
            agent(now).invoke(human("Again"), {"configurable": {"thread_id": "t2"}})
            assert not new.check().problems
            self.wipe()

    def test_items_that_nobody_uses_move_too(self):
        old = self.at(2)
        for owner in ("ann", "bob", None):
            ConversationBaseStore(old, owner=owner).put(("a",), "k", {"n": str(owner)})
        keys = old.shard_of("ann")._layout.keys
        deadline = 32_503_680_000_000
        self.redis.hset(keys.items(b"ann", b"1:b"), "mortal", b"1 1 9 %d 2:{}" % deadline)
        self.redis.zadd(keys.namespaces(b"ann"), {b"1:b": 0})
        new = self.at(3)
        assert new.reshard().failed == 0
        for owner in ("ann", "bob", None):
            found = ConversationBaseStore(new, owner=owner).get(("a",), "k")
            assert found.value == {"n": str(owner)}
            name = (owner or "").encode()
            order = new.shard_of(name)._layout.keys.times(name, b"1:a")
            assert self.redis.zrange(order, 0, -1) == [b"k"]
        if self.knows("HPEXPIRETIME"):
            key = new.shard_of("ann")._layout.keys.items(b"ann", b"1:b")
            assert self.redis.hpexpiretime(key, "mortal") == [deadline]
