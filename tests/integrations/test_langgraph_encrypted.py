"""Checkpoints and items of LangGraph on an alias with ENCRYPTION."""

import threading
from hashlib import sha1
from importlib.util import find_spec
from io import StringIO
from unittest import skipUnless

import pytest
from django.core.management import CommandError, call_command

from conversation_memory.exceptions import (
    ConversationConflict,
    ConversationCorrupt,
    ConversationUndecryptable,
    InvalidIndexError,
)

from ..encrypting import HAS_CRYPTOGRAPHY, EncryptedTestCase
from ..utils import each_layout

HAS_LANGGRAPH = find_spec("langgraph") is not None
if HAS_LANGGRAPH:
    from langchain_core.messages import AIMessage, HumanMessage
    from langgraph.checkpoint.base import empty_checkpoint
    from langgraph.types import Command

    from conversation_memory.integrations.langgraph import ConversationBaseStore, ConversationSaver

    from .langgraph_agents import agent, human, thread

needed = skipUnless(HAS_LANGGRAPH and HAS_CRYPTOGRAPHY, "needs langgraph and cryptography")


def put_messages(saver, messages, version):
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"messages": messages}
    checkpoint["channel_versions"] = {"messages": f"{version:06.1f}"}
    config = thread(checkpoint_ns="")
    saver.put(config, checkpoint, {}, checkpoint["channel_versions"])


class SecretCase(EncryptedTestCase):
    def agent(self, index=None):
        return agent(ConversationSaver(index or self.index))

    def say(self, text, id="t", index=None):
        return self.agent(index).invoke(human(text), thread(id))["messages"][-1].text

    def checkpoints(self, id="t"):
        return self.index._layout.keys.checkpoints(id.encode())

    def prefixes(self):
        """The ids of the keys that have sealed anything but the proofs."""
        proofs = self.index._layout.keys.proofs()
        found = repr({name: it for name, it in self.everything().items() if name != proofs})
        return {part.split(".")[0] for part in found.split("cm1.")[1:]}

    def has_words(self, *words):
        found = repr(self.everything())
        return [word for word in words if word in found]


@needed
@each_layout
class SecretThreadTests:
    case, entry = SecretCase, SecretCase.entry

    def test_an_agent_continues_and_nothing_it_said_is_readable(self):
        assert self.say("lighthouse") == "You said: lighthouse"
        self.say("weather in Oslo?")
        assert "__interrupt__" in self.agent().invoke(human("what in Atlantis"), thread())
        state = self.agent().invoke(Command(resume="sunken"), thread())
        texts = [message.text for message in state["messages"]]
        assert texts[:2] == ["lighthouse", "You said: lighthouse"]
        assert texts[-1] == "It is sunken."
        assert self.has_words("lighthouse", "Oslo", "Atlantis", "sunken", "weather") == []
        assert len([*ConversationSaver(self.index).list(thread(), filter={"step": 1})]) == 1

    def test_no_id_is_made_of_a_text_that_is_encrypted(self):
        def texts(index):
            return [run.input.text for run in index.driver("t").load()[0]]

        saver, said = ConversationSaver(self.index), []
        for number, text in enumerate(("yes", "no", "yes")):
            said = [*said, HumanMessage(text)]  # without an id, as add_messages would give it
            put_messages(saver, said, number)
            assert self.has_words(sha1(f"{number} human {text}".encode()).hexdigest()) == []
            said = [*said, AIMessage("Good.")]
            put_messages(saver, said, number + 0.5)
            assert texts(self.index) == ["yes", "no", "yes"][: number + 1]
        with self.keys_are("b", "a") as index:
            for _ in range(2):
                said = [*said, HumanMessage("no"), AIMessage("Good.")]
                put_messages(ConversationSaver(index), said, len(said))
                index.rotate_keys()
            assert texts(index) == ["yes", "no", "yes", "no", "no"]
            assert index.driver("t").open_runs() == []

    def test_a_message_is_kept_once(self):
        for word in ("one", "two", "three"):
            self.say(word)
        fields = self.redis.hkeys(self.checkpoints())
        assert len([name for name in fields if name[:1] == b"m" and name[1:].isdigit()]) == 6

    def test_a_thread_gets_another_id_and_a_copy_with_its_state(self):
        self.say("lighthouse")
        self.index.driver("t").rename("u")
        assert not self.redis.exists(self.checkpoints())
        self.say("harbour", "u")
        saver = ConversationSaver(self.index)
        saver.copy_thread("u", "v")
        with self.assertRaises(ConversationConflict):
            saver.copy_thread("u", "v")
        for id in ("u", "v"):
            self.say("buoy", id)
            [first, *_, last] = self.agent().get_state(thread(id)).values["messages"]
            assert (first.text, last.text) == ("lighthouse", "You said: buoy")
            assert len(self.index.driver(id).load()[0]) == 3
        saver.prune(["v"])
        assert len([*saver.list(thread("v"))]) == 1
        saver.delete_thread("v")
        assert not self.redis.exists(self.checkpoints("v"))

    def test_a_deadline_goes_along(self):
        self.say("lighthouse")
        self.index.driver("t").expire(1000)
        self.index.driver("t").rename("u")
        ConversationSaver(self.index).copy_thread("u", "v")
        assert 0 < self.redis.ttl(self.checkpoints("u")) <= 1000

    def test_a_value_of_another_thread_or_field_does_not_decrypt(self):
        self.say("lighthouse")
        self.say("harbour", "u")
        stored = self.redis.hgetall(self.checkpoints())
        other = self.redis.hgetall(self.checkpoints("u"))
        newest = stored[b"n0:"]
        moves = {b"m1": other[b"m1"], b"c0:" + newest: other[b"c0:" + other[b"n0:"]]}
        moves |= {
            name: next(other[it] for it in other if it[:14] == name[:14])
            for name in stored
            if name.startswith(b"b0:5:asked")
        }
        assert len(moves) == 3
        for name, text in moves.items():
            self.redis.hset(self.checkpoints(), name, text)
            with pytest.raises(ConversationUndecryptable, match="comes from elsewhere"):
                self.agent().get_state(thread())
            self.redis.hset(self.checkpoints(), name, stored[name])
        assert len(self.agent().get_state(thread()).values["messages"]) == 2

    def test_without_its_key_a_thread_is_told_and_kept(self):
        self.say("lighthouse")
        self.agent().invoke(human("what in Atlantis"), thread())
        before = self.everything()
        with self.keys_are("b") as index:
            saver = ConversationSaver(index)
            for use in (
                lambda: saver.get_tuple(thread()),
                lambda: [*saver.list(thread())],
                lambda: [*saver.list(None, filter={"step": 1})],
                lambda: saver.copy_thread("t", "u"),
                lambda: index.driver("t").rename("u"),
                lambda: self.say("again", index=index),
            ):
                with pytest.raises(ConversationUndecryptable, match="key 'a'") as caught:
                    use()
                assert caught.value.key_id == "a"
            failures = []
            assert index.rotate_keys(failure=failures.append).failed == 1
        proofs = self.index._layout.keys.proofs()
        assert {**self.everything(), proofs: before[proofs]} == before

    def test_an_alias_without_encryption_neither_reads_nor_writes_it(self):
        self.say("lighthouse")
        before = self.everything()
        with self.keys_are() as index:
            saver = ConversationSaver(index)
            config = thread("t", checkpoint_ns="", checkpoint_id="x")
            for use in (
                lambda: saver.get_tuple(thread()),
                lambda: saver.put_writes(config, [("asked", 2)], "task"),
                lambda: self.say("again", index=index),
            ):
                with pytest.raises(ConversationUndecryptable, match="no ENCRYPTION"):
                    use()
        assert self.everything() == before


@needed
@each_layout
class ThreadRotationTests:
    case, entry = SecretCase, SecretCase.entry

    def test_it_gets_the_newest_key_and_goes_on(self):
        self.say("lighthouse")
        self.agent().invoke(human("what in Atlantis"), thread())
        with self.keys_are("b", "a") as index:
            self.say("harbour", "u", index)
            assert index.rotate_keys().rotated == 1
            assert index.rotate_keys().rotated == 0
        assert self.prefixes() == {"b"}
        with self.keys_are("b") as index:
            state = self.agent(index).invoke(Command(resume="sunken"), thread())
            assert [one.text for one in state["messages"]][-1] == "It is sunken."
            [first, second] = index.driver("t").load()[0]
            assert (first.input.text, second.output.text) == ("lighthouse", "It is sunken.")
            saver = ConversationSaver(index)
            saver.prune(["t"])
            kept = self.redis.hkeys(self.checkpoints())
            assert len([one for one in kept if one[:1] == b"m" and one[1:].isdigit()]) == 6
            assert len(saver.get_tuple(thread()).checkpoint["channel_values"]["messages"]) == 6

    def test_beside_a_writer(self):
        stopped, said, errors = threading.Event(), [], []

        def write(index):
            try:
                while not stopped.is_set():
                    self.say(f"word {len(said)}", "u", index)
                    said.append(1)
            except Exception as error:
                errors.append(error)

        with self.keys_are("a", "b") as old, self.keys_are("b", "a") as index:
            for number in range(3):
                self.say(f"word {number}", f"t{number}", old)
            writer = threading.Thread(target=write, args=(index,))
            writer.start()
            try:
                assert index.rotate_keys().failed == 0
            finally:
                stopped.set()
                writer.join()
            assert errors == []
            index.rotate_keys()
        assert self.prefixes() == {"b"}
        with self.keys_are("b") as index:
            for number in range(3):
                values = self.agent(index).get_state(thread(f"t{number}")).values
                assert values["messages"][0].text == f"word {number}"
            values = self.agent(index).get_state(thread("u")).values
            assert len(values.get("messages", ())) == 2 * len(said)

    def test_a_plain_thread_is_moved_over(self):
        with self.keys_are() as plain:
            self.say("lighthouse", index=plain)
            self.agent(plain).invoke(human("what in Atlantis"), thread())
        with pytest.raises(ConversationCorrupt, match="READ_PLAINTEXT"):
            self.say("again")
        with self.keys_are("a", READ_PLAINTEXT=True) as index:
            assert len(self.agent(index).get_state(thread()).values["messages"]) == 4
            assert index.rotate_keys().rotated == 1
        assert self.has_words("lighthouse", "Atlantis") == []
        state = self.agent().invoke(Command(resume="sunken"), thread())
        assert state["messages"][-1].text == "It is sunken."
        assert len(self.index.driver("t").load()[0]) == 2

    def test_what_is_damaged_is_named_and_costs_no_other_thread(self):
        self.say("lighthouse")
        self.say("harbour", "u")
        self.redis.hset(self.checkpoints(), "c0:x", "12:")
        failures = []
        with self.keys_are("b", "a") as index:
            done = index.rotate_keys(failure=failures.append)
        assert (done.rotated, done.failed, failures[0].conversation_id) == (1, 1, "t")


@needed
class SecretItemTests(SecretCase):
    def store(self, index=None, **options):
        return ConversationBaseStore(index or self.index, **options)

    def key(self, *namespace, owner=b""):
        packed = b"".join(b"%d:%b" % (len(part), part.encode()) for part in namespace)
        return self.index._layout.keys.items(owner, packed)

    def test_items_are_found_by_values_that_nobody_can_read(self):
        store = self.store(owner="ann")
        store.put(("likes",), "colour", {"name": "indigo", "since": 2020})
        store.put(("likes", "more"), "dish", {"name": "paella"})
        [item] = store.search(("likes",), filter={"since": {"$gte": 2000}})
        assert item.value == store.get(("likes",), "colour").value
        assert [one.key for one in store.search(("likes",), filter={"name": "paella"})] == ["dish"]
        assert self.has_words("indigo", "paella", "2020") == []
        store.put(("likes",), "colour", {"name": "red"}, ttl=10)
        assert store.get(("likes",), "colour").value == {"name": "red"}
        assert store.erase() == 2

    def test_an_item_in_another_place_does_not_decrypt(self):
        store = self.store(owner="ann")
        store.put(("likes",), "colour", {"name": "indigo"})
        store.put(("likes",), "dish", {"name": "paella"})
        text = self.redis.hget(self.key("likes", owner=b"ann"), "colour")
        self.store(owner="bob").put(("likes",), "colour", {})
        store.put(("other",), "colour", {})
        for owner, namespace, key in (
            ("bob", "likes", "colour"),
            ("ann", "other", "colour"),
            ("ann", "likes", "dish"),
        ):
            self.redis.hset(self.key(namespace, owner=owner.encode()), key, text)
            other = self.store(owner=owner)
            with pytest.raises(ConversationUndecryptable, match=f"item '{key}'.*elsewhere"):
                other.get((namespace,), key)
            with pytest.raises(ConversationUndecryptable):
                other.put((namespace,), key, {"new": 1})
        assert [item.key for item in store.search(("likes",))] == ["colour"]
        store.delete(("likes",), "dish")
        assert store.get(("likes",), "dish") is None

    def test_without_its_key_an_item_is_told_and_kept(self):
        self.store().put(("likes",), "colour", {"name": "indigo"})
        before = self.dumped(self.key("likes"))
        for letters, what in (("b", "key 'a'"), ("", "key 'a', and this alias has no ENCRYPTION")):
            with self.keys_are(*letters) as index:
                store = self.store(index)
                for use in (
                    lambda store=store: store.get(("likes",), "colour"),
                    lambda store=store: store.search(("likes",)),
                    lambda store=store: store.put(("likes",), "colour", {"name": "red"}),
                ):
                    with pytest.raises(ConversationUndecryptable, match=what):
                        use()
        with self.keys_are() as index, pytest.raises(ConversationUndecryptable):
            self.store(index).delete(("likes",), "colour")
        assert self.dumped(self.key("likes")) == before

    def test_a_wrong_key_of_the_same_id_puts_nothing(self):
        self.store().put(("likes",), "colour", {"name": "indigo"})
        with self.keys_are("ba") as index, pytest.raises(InvalidIndexError, match="another one"):
            self.store(index).put(("likes",), "dish", {"name": "paella"})
        assert self.redis.hlen(self.key("likes")) == 1

    def test_a_rotation_keeps_times_and_reports_what_it_cannot_decrypt(self):
        store = self.store()
        for number in range(3):
            store.put(("likes",), f"k{number}", {"n": number}, ttl=number or None)
        self.redis.hset(self.key("likes"), "odd", b"1 1 0 0 cm1.z.AAAA")
        before = store.get(("likes",), "k1")
        deadlines = self.redis.execute_command(
            "HPEXPIRETIME", self.key("likes"), "FIELDS", 2, "k0", "k2"
        )
        failures = []
        with self.keys_are("b", "a") as index:
            done = index.rotate_keys(failure=failures.append)
            assert (done.items, done.failed_items) == (3, 1)
            assert "'odd'" in str(failures[0])
            with pytest.raises(CommandError, match="1 item"):
                call_command("rotatekeys", stdout=StringIO(), stderr=StringIO())
        after = self.redis.execute_command(
            "HPEXPIRETIME", self.key("likes"), "FIELDS", 2, "k0", "k2"
        )
        assert after == deadlines
        self.redis.hdel(self.key("likes"), "odd")
        assert self.prefixes() == {"b"}
        with self.keys_are("b") as index:
            assert self.store(index).get(("likes",), "k1") == before

    def test_plain_items_are_moved_over(self):
        with self.keys_are() as plain:
            self.store(plain).put(("likes",), "colour", {"name": "indigo"})
        with pytest.raises(ConversationUndecryptable, match="READ_PLAINTEXT"):
            self.store().search(())
        with self.keys_are("a", READ_PLAINTEXT=True) as index:
            assert len(self.store(index).search(())) == 1
            assert index.rotate_keys().items == 1
        assert self.has_words("indigo") == []
        assert self.store().get(("likes",), "colour").value == {"name": "indigo"}

    def test_vectors_are_refused(self):
        config = {"dims": 2, "embed": lambda texts: [[1.0, 0.0] for _ in texts]}
        with self.assertRaisesMessage(InvalidIndexError, "vectors"):
            self.store(index_config=config)
