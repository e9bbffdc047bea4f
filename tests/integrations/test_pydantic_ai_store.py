"""The conversation store for pydantic-ai, compared with that of pydantic-ai itself."""

import asyncio
import json
import pickle
from contextlib import contextmanager
from copy import deepcopy
from unittest import skipUnless
from unittest.mock import patch

from hypothesis import given, settings

from conversation_memory import Run
from conversation_memory.exceptions import ConversationCorrupt, RedisReadOnly, RedisUnavailable
from conversation_memory.message_list import MessageList
from conversation_memory.redis_io import operations

from ..servers import ServerTestCase
from ..utils import close_connections, each_layout, in_loop

try:
    from pydantic_ai import DeferredToolRequests
    from pydantic_ai.conversation import Conversation
    from pydantic_ai.conversation_store import ConversationConflict, InMemoryConversationStore
    from pydantic_ai.messages import ModelMessagesTypeAdapter, ToolCallPart
    from pydantic_ai.usage import RunUsage

    from conversation_memory.integrations import pydantic_ai as adapter
    from conversation_memory.integrations.pydantic_ai import RedisConversationStore

    from .pydantic_ai_logs import RICH, Actor, answered, prompt, steps

    HAS_PYDANTIC_AI = True
except ImportError:  # pragma: no cover
    HAS_PYDANTIC_AI = False


def conversation(id, *messages):
    return Conversation(conversation_id=id, messages=[*messages])


def texts_of(message):
    return [part.content for part in message.parts]


@contextmanager
def awaited():
    """A list that gets an item for each round trip of async code."""
    sent, exchange = [], operations._aexchange

    async def counting(client, calls):
        sent.append([call[0] for call in calls])
        return await exchange(client, calls)

    with patch.object(operations, "_aexchange", counting):
        yield sent


needs_pydantic_ai = skipUnless(HAS_PYDANTIC_AI, "pydantic-ai is not installed")


@needs_pydantic_ai
@each_layout
class OracleTests:
    def test_it_does_what_the_store_in_memory_does(self):
        with asyncio.Runner() as runner:

            @settings(max_examples=12)
            @given(steps)
            def check(steps):
                self.wipe()
                runner.run(self.compare(steps))

            try:
                check()
            finally:
                runner.run(close_connections())

    async def compare(self, steps):
        theirs = Actor(InMemoryConversationStore())
        ours = Actor(RedisConversationStore(self.index))
        for step in steps:
            assert await ours.do(step) == await theirs.do(step), step
        assert await ours.state() == await theirs.state()


@needs_pydantic_ai
@each_layout
class PydanticAIStoreTests:
    @in_loop
    async def test_messages_of_every_kind_come_back_unchanged(self):
        store = RedisConversationStore(self.index)
        for number in range(1, len(RICH) + 1):
            found = await store.load("c") or Conversation(conversation_id="c")
            found.messages.append(RICH[number - 1])
            await store.save(found)
            assert (await store.load("c")).messages == RICH[:number]
        [run] = (await self.index.driver("c").aload())[0]
        assert run.input.items[0].text == "What?"
        assert run.output.text == "It is a lamp."
        stored = await self.index.driver("c").amessages(format="pydantic-ai")
        assert ModelMessagesTypeAdapter.validate_python(stored) == RICH

    @in_loop
    async def test_what_others_add_is_in_the_log_and_stays_as_it_is(self):
        store, driver = RedisConversationStore(self.index), self.index.driver("c")
        form = [
            {"role": "user", "content": "Hi", "name": "ann"},
            {"role": "assistant", "content": "Ho"},
        ]
        await store.save(conversation("c", *RICH[:4]))
        before = await store.load("c")
        await driver.aappend_messages(form)
        await driver.aappend(Run("Why?", "Because.", id="r"))
        with self.assertRaises(ConversationConflict):
            await store.save(before)
        found = await store.load("c")
        texts = [text for message in found.messages[4:] for text in texts_of(message)]
        assert texts == ["Hi", "Ho", "Why?", "Because."]
        assert (await store.load("c")).messages == found.messages
        assert [one.id for one in await store.load_entries("c")][-2:] == ["r-0", "r-1"]
        found.messages += [prompt("And?"), answered("So.")]
        await store.save(found)
        assert (await driver.amessages())[-6:-4] == form
        assert (await driver.aload())[0][2].meta is None
        for limit in (1, 3, 5, 20):
            some = await store.load("c", limit=limit)
            assert some.messages == (await store.load("c")).messages[-limit:]

    @in_loop
    async def test_a_question_of_others_is_in_the_log_when_it_has_its_answer(self):
        store, driver = RedisConversationStore(self.index), self.index.driver("c")
        await store.save(conversation("c", prompt("Hi"), answered("Hello")))
        await driver.aappend_messages([{"role": "user", "content": "Why?"}])
        found = await store.load("c")
        assert len(found.messages) == 2
        await driver.aappend_messages([{"role": "assistant", "content": "Because."}])
        assert len((await store.load("c")).messages) == 4

    @in_loop
    async def test_tool_calls_wait_until_anyone_answers_them(self):
        store, driver = RedisConversationStore(self.index), self.index.driver("c")
        call = ToolCallPart("look", {"at": 1}, "c1")
        found = conversation("c", prompt("Look!"), answered(call))
        found.deferred_tool_requests = DeferredToolRequests(calls=[call])
        await store.save(found)
        assert (await store.load("c")).deferred_tool_requests.calls == [call]
        result = {"role": "tool", "tool_call_id": "c1", "content": "A lamp."}
        listed = MessageList(driver)
        await listed.aadd([result, {"role": "assistant", "content": "I see a lamp."}])
        found = await store.load("c")
        assert found.deferred_tool_requests is None
        assert [texts_of(one)[0] for one in found.messages[2:]] == ["A lamp.", "I see a lamp."]
        assert len((await driver.aload())[0]) == 1

    @in_loop
    async def test_a_save_at_the_end_costs_two_round_trips(self):
        store = RedisConversationStore(self.index)
        await store.save(conversation("c", prompt("Hi"), answered("Hello")))
        found = await store.load("c", limit=2)
        found.messages += [prompt("Why?"), answered("Because.")]
        with awaited() as sent:
            await store.save(found)
        assert len(sent) == 2
        with awaited() as sent:
            assert len((await store.load("c", limit=2)).messages) == 2
        assert len(sent) == 1

    @in_loop
    async def test_long_conversations_are_read_as_far_as_they_are_asked_for(self):
        store = RedisConversationStore(self.index)
        await store.save(conversation("c", prompt("0"), answered("0.")))
        await self.index.driver("c").aappend(*(Run(str(n), f"{n}.") for n in range(1, 40)))
        for limit in (1, 38, 40, 41, 79, None):
            found = await store.load("c", limit=limit)
            assert len(found.messages) == min(limit or 80, 80)
            entries = await store.load_entries("c", limit=limit)
            assert (entries[0].parent_id is None) == (limit is None)
        record = await store.read_record("c")
        assert record.usage == RunUsage() and record.deferred_tool_requests is None

    @in_loop
    async def test_the_owner_is_the_scope(self):
        store = RedisConversationStore(self.index)
        anns = RedisConversationStore(self.index, owner="ann", ttl=60)
        await anns.save(conversation("a", prompt("Hi"), answered("Hello")))
        record = await self.index.driver("a").arecord()
        assert record.owner == "ann"
        assert 55 < (record.expires - record.updated).total_seconds() <= 60
        assert (await store.read_record("a")).scope == "ann"
        assert await store.load("a", scope="bob") is None
        bobs = RedisConversationStore(self.index, owner="bob")
        assert await bobs.load("a") is None
        head = (await anns.read_record("a")).head_id
        for entry_id in (head, str(head)):
            assert await anns.read_entry(entry_id)
            with self.assertRaises(KeyError):
                await bobs.read_entry(entry_id)
        await bobs.delete("a")
        for scoped in (bobs.save(conversation("a", prompt("x"))), store.save(conversation("a"))):
            with self.assertRaises(ConversationConflict):
                await scoped
        with self.assertRaisesRegex(ValueError, "one owner"):
            await bobs.save(conversation("b", prompt("x")), scope="ann")
        assert await bobs.list_conversations() == await anns.list_conversations(scope="bob") == []
        assert [one.scope for one in await store.list_conversations(scope="ann")] == ["ann"]
        assert await store.list_conversations(scope="") == []

    @in_loop
    async def test_listings_have_the_last_written_first_and_are_read_in_pages(self):
        store = RedisConversationStore(self.index)
        for number in range(5):
            await store.save(conversation(f"c{number}", prompt("Hi")))
            self.redis.zadd(f"{{{self.index.name}}}:recent", {f"c{number}": number + 1})
        self.put("broken", b"{")
        with patch.object(adapter, "_PAGE", 2):
            listed = await store.list_conversations()
            assert [one.conversation_id for one in listed] == ["c4", "c3", "c2", "c1", "c0"]
            assert len(await store.list_conversations(limit=3)) == 3
        assert await store.list_conversations(limit=0) == []

    @in_loop
    async def test_an_entry_is_found_by_a_text(self):
        store = RedisConversationStore(self.index)
        [first, last] = await store.save(conversation("c", prompt("Hi"), answered("Hello")))
        assert (await store.read_entry(str(last.id))).message == last.message
        assert len(await store.read_history(str(last.id))) == 2
        with self.assertRaises(LookupError):
            await store.read_entry("nobody's")
        copied = deepcopy(await store.read_record("c"))
        assert json.dumps(copied.head_id) == f'"{last.id}"'
        assert type(pickle.loads(pickle.dumps(copied.head_id))) is str

    @in_loop
    async def test_a_fork_survives_what_it_is_from(self):
        store = RedisConversationStore(self.index)
        await store.save(conversation("c", *RICH, prompt("And?"), answered("So.")), scope="ann")
        await self.index.driver("c").aappend(Run("x", "y", {"mine": 1}, id="r"))
        fork = await store.fork("c", new_conversation_id="d", at=8)
        entries = await store.load_entries("c")
        await store.delete("c")
        assert (await store.load("d")).messages == fork.messages
        kept = await store.load_entries("d")
        assert [one.id for one in kept] == [one.id for one in entries][:8]
        assert (await self.index.driver("d").arecord()).owner == "ann"

    @in_loop
    async def test_a_damaged_run_is_told_when_it_is_read(self):
        store, driver = RedisConversationStore(self.index), self.index.driver("c")
        await driver.aappend(*(Run(str(n), f"{n}.") for n in range(2)))
        found = await store.load("c")
        found.messages += [prompt("Why?"), answered("Because.")]
        await store.save(found)
        keys = driver._layout.keys
        if self.index.settings.layout == "list":
            self.redis.lset(keys.runs(b"c"), 0, b'["0",')
            assert (await store.load("c", limit=2)).messages == found.messages[-2:]
        else:
            self.redis.hset(keys.content(b"c"), "c", b'{"runs": [')
        with self.assertRaisesRegex(ConversationCorrupt, "'c'"):
            await store.load("c")

    @in_loop
    async def test_damage_is_told_with_the_conversation(self):
        store, driver = RedisConversationStore(self.index), self.index.driver("c")
        for meta in (
            {"messages": [{"kind": "request", "parts": 3}], "messages_format": "pydantic-ai"},
            {"pydantic_ai": {"usage": {"requests": "many"}}},
        ):
            await driver.adelete()
            await driver.aappend(Run("", "", meta))
            with self.assertRaisesRegex(ConversationCorrupt, "'c'"):
                await store.load("c")
        for kept in (3, {"branches": [3, "x"], "entries": [{"id": 1}], "facts": 2}):
            await driver.adelete()
            await driver.astore([], {"pydantic_ai": kept})
            assert (await store.load("c")).messages == []

    @in_loop
    async def test_two_saves_at_once_are_one_save_and_a_conflict(self):
        store = RedisConversationStore(self.index)
        await store.save(conversation("c", prompt("Hi"), answered("Hello")))
        found = [await store.load("c") for _ in range(4)]
        for number, one in enumerate(found):
            one.messages += [prompt(str(number)), answered("So.")]
        results = await asyncio.gather(*map(store.save, found), return_exceptions=True)
        conflicts = [one for one in results if isinstance(one, ConversationConflict)]
        assert len(conflicts) == 3
        assert len((await store.load("c")).messages) == 4


@needs_pydantic_ai
@each_layout
class PydanticAIFailureTests:
    case = ServerTestCase
    entry = {"OPTIONS": {"socket_timeout": 0.5, "socket_connect_timeout": 0.5}}

    @in_loop
    async def test_errors_of_redis_are_those_of_the_app(self):
        store = RedisConversationStore(self.index)
        await store.save(conversation("c", prompt("Hi"), answered("Hello")))
        found = await store.load("c")
        found.messages += [prompt("Why?"), answered("Because.")]
        with self.config(maxmemory="1"), self.assertRaises(RedisReadOnly):
            await store.save(found)
        await close_connections()
        with self.stopped():
            with self.assertRaises(RedisUnavailable):
                await store.load("c")
            with self.assertRaises(RedisUnavailable):
                await store.list_conversations()
        await store.save(found)
        assert len((await store.load("c")).messages) == 4
