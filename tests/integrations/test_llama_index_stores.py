"""The chat stores for LlamaIndex, compared with those of LlamaIndex itself."""

import asyncio
import json
import pickle
import re
from itertools import count
from unittest import skipUnless
from unittest.mock import patch

from django.conf import settings as django_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from conversation_memory import Run
from conversation_memory.exceptions import ConversationCorrupt, ConversationNotFound
from conversation_memory.message_list import MessageList

from ..utils import close_connections, counted, each_layout, in_loop

try:
    from llama_index.core.storage.chat_store import SimpleChatStore
    from llama_index.core.storage.chat_store.base_db import MessageStatus
    from llama_index.core.storage.chat_store.sql import SQLAlchemyChatStore

    from conversation_memory.integrations import llama_index
    from conversation_memory.integrations.llama_index import (
        AsyncConversationChatStore,
        ConversationChatStore,
    )

    from .llama_index_chats import RICH, messages, said

    HAS_LLAMA_INDEX = True
except ImportError:  # pragma: no cover
    HAS_LLAMA_INDEX = False
    RICH, messages, MessageStatus = [], st.none(), [None]

needs_llama_index = skipUnless(HAS_LLAMA_INDEX, "LlamaIndex is not installed")

lists = st.lists(messages, max_size=3)
keys = st.sampled_from(["a", "b c"])
statuses = st.sampled_from([*MessageStatus])
steps = st.lists(
    st.tuples(st.just("add_message"), keys, messages)
    | st.tuples(st.just("set_messages"), keys, lists.filter(bool))
    | st.tuples(st.just("delete_message"), keys, st.integers(-1, 4))
    | st.tuples(st.sampled_from(["delete_messages", "delete_last_message"]), keys),
    max_size=10,
)
async_steps = st.lists(
    st.tuples(st.just("add_message"), keys, messages, statuses)
    | st.tuples(st.sampled_from(["add_messages", "set_messages"]), keys, lists, statuses)
    | st.tuples(st.just("delete_messages"), keys, statuses | st.none())
    | st.tuples(
        st.sampled_from(["delete_oldest_messages", "archive_oldest_messages"]),
        keys,
        st.integers(0, 4),
    )
    | st.tuples(
        st.just("get_messages"),
        keys,
        statuses | st.none(),
        st.integers(0, 3) | st.none(),
        st.integers(0, 3) | st.none(),
    ),
    max_size=10,
)
_MADE_UP = '[0-9a-f]{32}|"[0-9a-f]{8}"'
TWINS = {"add_message": "async_add_message"}


def is_refused_by_simple_store(store, name, key):
    """True where SimpleChatStore raises IndexError; ours returns None."""
    return name.startswith("delete_") and store.store.get(key) == [] and name != "delete_messages"


@needs_llama_index
@each_layout
class ChatStoreTests:
    def test_it_does_what_the_simple_store_does(self):
        with asyncio.Runner() as runner:
            try:
                settings(max_examples=12)(given(steps)(lambda steps: self.compare(runner, steps)))()
            finally:
                runner.run(close_connections())

    def compare(self, runner, steps):
        self.wipe()
        store, theirs = ConversationChatStore(self.index), SimpleChatStore()
        for number, (name, key, *args) in enumerate(steps):
            if is_refused_by_simple_store(theirs, name, key):
                continue
            if number % 2:
                found = runner.run(getattr(store, TWINS.get(name, f"a{name}"))(key, *args))
            else:
                found = getattr(store, name)(key, *args)
            assert found == getattr(theirs, name)(key, *args), (name, args)
            for key in ("a", "b c"):
                fresh = ConversationChatStore(self.index)
                assert fresh.get_messages(key) == theirs.get_messages(key)
            assert {*store.get_keys()} == {*theirs.get_keys()}

    def test_messages_of_every_kind_come_back_unchanged(self):
        for number in range(1, len(RICH) + 1):
            store = ConversationChatStore(self.index)
            store.add_message("c", RICH[number - 1])
            assert store.get_messages("c") == RICH[:number]
        [run] = self.index.driver("c").load()[0]
        assert run.input.items[0].text == "What is this?"
        assert run.output.text == "It is a lamp."
        assert self.index.driver("c").messages()[1]["tool_calls"][0]["function"]["name"] == "look"

    def test_messages_of_other_frameworks_are_converted(self):
        driver = self.index.driver("c")
        driver.append(Run("Why?", "Because."))
        driver.append_messages([{"role": "user", "content": "And?"}])
        store = ConversationChatStore(self.index)
        found = [(one.role.value, one.content) for one in store.get_messages("c")]
        assert found == [("user", "Why?"), ("assistant", "Because."), ("user", "And?")]
        store.add_message("c", said("assistant", "So."))
        assert [run.output.text for run in driver.load()[0]] == ["Because.", "So."]

    def test_an_answer_costs_one_round_trip_if_the_store_asked(self):
        store = ConversationChatStore(self.index)
        store.add_message("c", said("user", "Hi"))
        store.add_message("c", said("assistant", "Hello"))
        with counted() as sent:
            store.add_message("c", said("user", "Why?"))
            store.add_message("c", said("assistant", "Because."))
        assert len(sent) == 2

    def test_texts_are_kept_as_any_list_of_messages_keeps_them(self):
        with asyncio.Runner() as runner:
            numbers = count()

            def compare(added, has_read):
                runner.run(self.compare_runs(f"{next(numbers)}", added, has_read))

            try:
                many = st.lists(messages, min_size=1, max_size=5)
                settings(max_examples=15)(given(many, st.booleans())(compare))()
                compare([said(*one) for one in (("user", "1"), ("assistant", "2")) * 2], True)
                compare([said("user", "1"), said("user", "2"), said("assistant", "3")], False)
            finally:
                runner.run(close_connections())

    async def compare_runs(self, key, added, has_read):
        """Add the same messages in three ways. A store that has read knows the open run less."""
        store = ConversationChatStore(self.index)
        others = MessageList(self.index.driver(f"list-{key}"), "llama-index")
        for message in added:
            store.add_message(f"sync-{key}", message)
            await store.async_add_message(f"async-{key}", message)
            others.add([message.model_dump(mode="json")])
            if has_read:
                assert store.get_messages(f"sync-{key}") == await store.aget_messages(
                    f"async-{key}"
                )
            expected = self.kept(f"list-{key}")
            assert self.kept(f"sync-{key}") == self.kept(f"async-{key}") == expected

    def kept(self, key):
        """The runs and the open ones, without made up ids, and checksums of those."""
        driver = self.index.driver(key)
        runs = [*driver.load()[0], *(one.question for one in driver.open_runs())]
        return [re.sub(_MADE_UP, "id", json.dumps(run.to_dict())) for run in runs]

    def test_keys_are_those_of_the_owner_however_many(self):
        for number in range(3):
            self.index.driver(f"a{number}", owner="ann").append(Run("x", "y"))
        self.index.driver("b", owner="bob").append(Run("x", "y"))
        store = ConversationChatStore(self.index, owner="ann")
        with patch.object(llama_index, "_PAGE", 2):
            assert sorted(store.get_keys()) == ["a0", "a1", "a2"]
        assert store.get_messages("b") == []
        assert store.delete_messages("b") is None
        assert store.delete_message("b", 0) is None
        assert store.delete_last_message("b") is None
        with self.assertRaises(ConversationNotFound):
            store.add_message("b", said("user", "Hi"))
        assert len(self.index.driver("b").load()[0]) == 1
        store.add_message("new", said("user", "Hi"))
        assert self.index.driver("new").record().owner == "ann"

    def test_a_ttl_is_that_of_what_it_writes(self):
        ConversationChatStore(self.index, ttl=60).add_message("c", said("user", "Hi"))
        record = self.index.driver("c").record()
        assert 55 < (record.expires - record.updated).total_seconds() <= 60

    def test_it_can_be_made_again_from_its_dict(self):
        store = ConversationChatStore(self.index, owner=7, ttl=60)
        store.add_message("c", said("user", "Hi"))
        data = store.to_dict()
        assert data == {
            "alias": "default",
            "name": self.index.name,
            "owner": "7",
            "ttl": 60,
            "class_name": "ConversationChatStore",
        }
        assert django_settings.REDIS["default"]["URL"] not in json.dumps(data) + repr(store)
        for again in (
            ConversationChatStore.from_dict(data),
            ConversationChatStore.from_json(store.to_json()),
            pickle.loads(pickle.dumps(store)),
            store.model_copy(deep=True),
        ):
            assert again.get_messages("c") == [said("user", "Hi")]
            assert again.owner == "7"

    def test_what_is_not_a_chat_message_is_told_with_the_conversation(self):
        meta = {"messages": [{"role": "user", "blocks": 3}], "messages_format": "llama-index"}
        self.index.driver("c").append(Run("", "", meta))
        with self.assertRaisesRegex(ConversationCorrupt, "'c'.*not a ChatMessage"):
            ConversationChatStore(self.index).get_messages("c")


@needs_llama_index
@each_layout
class AsyncChatStoreTests:
    def test_a_change_is_finished_before_a_cancellation_is_raised(self):
        whole = [said("user", "1"), said("assistant", "2"), said("user", "3")]

        async def run():
            store = AsyncConversationChatStore(self.index)
            older = ConversationChatStore(self.index)
            for key, change in (("a", store.add_messages), ("b", older.aset_messages)):
                task = asyncio.create_task(change(key, whole))
                await asyncio.sleep(0)
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                assert await store.get_messages(key) == whole
            await close_connections()

        asyncio.run(run())

    def test_it_does_what_the_sql_store_does(self):
        with asyncio.Runner() as runner:
            theirs, numbers = SQLAlchemyChatStore("messages"), count()

            def compare(steps):
                runner.run(self.compare(theirs, steps, next(numbers)))

            try:
                settings(max_examples=8)(given(async_steps)(compare))()
            finally:
                runner.run(theirs._async_engine.dispose())
                runner.run(close_connections())

    async def compare(self, theirs, steps, number):
        store = AsyncConversationChatStore(self.index)
        for name, key, *args in steps:
            key = f"{key}-{number}"
            found = await getattr(store, name)(key, *args)
            # Their INSERT without values would insert a row of defaults.
            is_empty = name == "add_messages" and not args[0]
            assert is_empty or found == await getattr(theirs, name)(key, *args), (name, args)
        for key in {f"{key}-{number}" for _, key, *_ in steps}:
            for status in (*MessageStatus, None):
                expected = await theirs.get_messages(key, status)
                assert await store.get_messages(key, status) == expected
                fresh = AsyncConversationChatStore(self.index)
                assert await fresh.count_messages(key, status) == len(expected)
        assert {*await theirs.get_keys()} <= {*await store.get_keys()}

    @in_loop
    async def test_an_index_counts_active_messages(self):
        store = AsyncConversationChatStore(self.index)
        listed = [said("user", "1"), said("assistant", "2"), said("user", "3")]
        await store.add_messages("c", listed)
        await store.archive_oldest_messages("c", 1)
        assert await store.delete_message("c", 2) is None
        assert await store.delete_message("c", -1) is None
        assert await store.delete_message("c", 0) == listed[1]
        assert await store.get_messages("c", None) == [listed[0], listed[2]]

    @in_loop
    async def test_archiving_what_another_framework_wrote_keeps_its_form(self):
        form = [
            {"role": "user", "content": "Why?", "name": "ann"},
            {"role": "assistant", "content": "Because."},
        ]

        driver = self.index.driver("c")
        await driver.aappend_messages([*form, *form])
        store = AsyncConversationChatStore(self.index)
        await store.archive_oldest_messages("c", 2)
        assert await driver.amessages() == [*form, *form]
        assert await store.count_messages("c") == 2
        await store.archive_oldest_messages("c", 1)
        assert await store.count_messages("c") == 1
        assert [one.content for one in await store.get_messages("c")] == ["Because."]

    @in_loop
    async def test_owners_do_not_archive_for_others(self):
        await self.index.driver("c", owner="bob").aappend(Run("x", "y"))
        store = AsyncConversationChatStore(self.index, owner="ann")
        assert await store.archive_oldest_messages("c", 9) == []
        await store.delete_messages("c")
        await store.delete_messages("c", MessageStatus.ACTIVE)
        assert len(await self.index.driver("c").aload()) == 2
        assert await store.get_keys() == []

    def test_the_dump_of_a_store_names_the_index(self):
        store = AsyncConversationChatStore(self.index, owner="ann")
        again = AsyncConversationChatStore(**store.model_dump())
        assert (again.owner, again.name, again._index) == ("ann", self.index.name, self.index)
        assert store.class_name() == "AsyncConversationChatStore"
