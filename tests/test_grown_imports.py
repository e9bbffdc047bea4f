"""Importing again what has grown meanwhile where it comes from."""

import json
from unittest import skipUnless

from conversation_memory.archive import entries, items
from conversation_memory.imports import PeerSource
from conversation_memory.message_list import MessageList
from conversation_memory.redis_io.operations import perform

from .archives import dumped, restored
from .encrypting import HAS_CRYPTOGRAPHY, EncryptedTestCase
from .test_imports import Peers, done
from .utils import each_layout

QUESTION = {"role": "user", "content": "Is there a boat?"}
CALL = {"type": "function_call", "call_id": "t1", "name": "look", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "t1", "output": "a boat"}
ANSWER = {"role": "assistant", "content": "There is one."}


class GrowingCase(Peers):
    @classmethod
    def write(cls):
        pass

    def setUp(self):
        super().setUp()
        self.there.flushall()
        self.driver = self.index.driver("ada")

    def say(self, *items):
        self.there.rpush("agents:session:ada:messages", *map(json.dumps, items))

    def imported(self, *options):
        return done("--from", "openai-agents", "--url", self.server.url, *options).out

    def messages(self):
        return MessageList(self.driver, "openai-responses").read()


@each_layout
class GrownImportTests(GrowingCase):
    def test_an_open_run_gets_the_messages_that_it_has_got_there(self):
        self.say(QUESTION)
        assert "1 new" in self.imported()
        [before] = self.driver.open_runs()
        self.say(CALL, RESULT)
        assert "would import further messages of 1 open run" in self.imported("--dry-run")
        assert self.messages() == [QUESTION]
        assert "imported further messages of 1 open run" in self.imported()
        [after] = self.driver.open_runs()
        assert self.messages() == [QUESTION, CALL, RESULT]
        assert (after.run_id, after.state, after.begun) == (before.run_id, "waiting", before.begun)
        assert "further" not in self.imported()
        self.say(ANSWER)
        assert "1 replaced" in self.imported("--on-conflict", "replace")
        assert self.messages() == [QUESTION, CALL, RESULT, ANSWER]
        assert self.driver.open_runs() == []

    def test_what_was_done_here_meanwhile_is_kept(self):
        other = {"role": "user", "content": "Or a raft?"}
        for change, expected in (
            (lambda: MessageList(self.driver, "openai-responses").add([other]), [QUESTION, other]),
            (self.claim, []),
            (lambda: self.driver.discard(self.driver.open_runs()[0].run_id), []),
        ):
            with self.subTest(expected):
                self.there.flushall()
                self.say(QUESTION)
                self.imported()
                change()
                self.say(CALL)
                assert "further" not in self.imported()
                assert self.messages() == expected
                self.driver.delete()

    def claim(self):
        [question] = self.driver.open_runs()
        return self.driver.reply(question.run_id).claim()

    def test_an_archive_continues_an_open_run_and_never_shortens_it(self):
        messages = MessageList(self.driver, "openai-responses")
        messages.add([QUESTION])
        shorter = dumped(self.index)
        messages.add([CALL])
        longer = dumped(self.index)
        self.driver.delete()
        for archive, grown, expected in (
            (shorter, 0, [QUESTION]),
            (longer, 1, [QUESTION, CALL]),
            (shorter, 0, [QUESTION, CALL]),
        ):
            assert restored(self.index, archive, on_conflict="replace").grown == grown
            assert self.messages() == expected

    def test_whoever_knows_the_shorter_question_looks_again(self):
        self.say(QUESTION)
        self.imported()
        known = MessageList(self.driver, "openai-responses")
        known.read()
        self.say(CALL)
        self.imported()
        known.add([RESULT])
        assert self.messages() == [QUESTION, CALL, RESULT]

    def test_a_question_that_is_claimed_before_the_write_is_left_as_it_is(self):
        self.say(QUESTION)
        self.imported()
        self.say(CALL)
        source, keys = PeerSource("openai-agents", self.server.url), self.index._layout.keys
        source.verify()
        [entry] = source.entries()
        source.close()
        [stored] = self.run_operation(entries.read(keys, [entry.id]))
        grown = [one.behind(stored.questions) for one in entry.open]
        assert grown[0].place
        self.claim()
        self.run_operation(
            items.restore_open_runs(self.index._layout, [entry._replace(open=grown)])
        )
        assert self.driver.open_runs()[0].question.meta is None

    def run_operation(self, operation):
        return perform(self.redis, operation, "default")


@each_layout
@skipUnless(HAS_CRYPTOGRAPHY, "requires cryptography")
class EncryptedGrownImportTests(GrowingCase):
    case, entry = EncryptedTestCase, EncryptedTestCase.entry

    def test_the_messages_that_an_open_run_gets_are_encrypted(self):
        self.say(QUESTION)
        self.imported()
        self.say(CALL, RESULT)
        assert "further messages of 1 open run" in self.imported()
        assert self.messages() == [QUESTION, CALL, RESULT]
        questions = self.redis.hvals(self.index._layout.keys.open(b"ada"))
        assert questions and not any(b"a boat" in one for one in questions)
        assert self.index.check().left == 0
