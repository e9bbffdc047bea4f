"""A conversation as one list of messages, in which frameworks keep what they like."""

import json
from dataclasses import replace
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from conversation_memory import Run
from conversation_memory.exceptions import ConversationNotFound, ConversationTooLarge
from conversation_memory.message_list import MessageList
from conversation_memory.messages.formats import OPENAI
from conversation_memory.messages.turns import Turn, split
from conversation_memory.replies.lifecycle import Replies

from .test_messages import answer, calling, result, turns, user
from .utils import Awaited, alternating, both, counted, each_layout

CALL = {"type": "function_call", "call_id": "t", "name": "find", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "t", "output": "In the tower."}
SAID = {"type": "message", "role": "assistant", "id": "m", "content": []}


def listed(driver, format="openai"):
    """The list of a driver, or the twins of that of the twins of a driver."""
    if isinstance(driver, Awaited):
        return Awaited(MessageList(driver.subject, format), driver.run)
    return MessageList(driver, format)


any_messages = st.lists(
    turns(last=True).flatmap(lambda turn: st.permutations(turn))
    | st.lists(st.dictionaries(st.sampled_from(["x", "role", "type"]), st.text(max_size=3))),
    max_size=3,
).map(lambda groups: [message for group in groups for message in group])
steps = st.lists(
    st.tuples(st.just("add"), any_messages)
    | st.tuples(st.just("replace"), any_messages)
    | st.tuples(st.just("delete"), st.integers(-3, 5))
    | st.tuples(st.sampled_from(["pop", "clear", "open"]), st.none())
    | st.tuples(st.just("read"), st.integers(1, 4)),
    max_size=8,
)


@each_layout
class MessageListTests:
    @both
    def test_what_lacks_an_answer_is_in_the_list_and_not_in_the_conversation(self, index):
        driver = index.driver("c")
        turn = [user("Where?"), calling("t"), result("t"), answer("There.")]
        messages = listed(driver)
        for number, message in enumerate(turn, 1):
            assert driver.load()[0] == []
            messages.add([message])
            assert listed(driver).read() == turn[:number]
        assert driver.open_runs() == []
        [run] = driver.load()[0]
        assert (run.input.text, run.output.text) == ("Where?", "There.")

    @both
    def test_a_question_after_a_question_is_in_the_same_run(self, index):
        driver = index.driver("c")
        for message in (user("Why?"), user("Well?"), answer("Because.")):
            listed(driver).add([message])
        assert listed(driver).read() == [user("Why?"), user("Well?"), answer("Because.")]
        [run] = driver.load()[0]
        assert (run.input.text, run.output.text) == ("Why?\nWell?", "Because.")

    @both
    def test_an_answer_may_come_first_and_another_one_may_follow(self, index):
        driver = index.driver("c")
        said = [answer("Hello!"), answer("Are you there?"), user("Yes"), answer("Good.")]
        for message in said:
            listed(driver).add([message])
        assert listed(driver).read() == said
        first, second = driver.load()[0]
        assert (first.input.text, first.output.text) == ("", "Are you there?")
        assert (second.input.text, second.output.text) == ("Yes", "Good.")

    @both
    def test_the_last_messages_are_read_alone(self, index):
        messages = listed(index.driver("c"))
        said = [user("1"), *(calling("t"), result("t")) * 3, answer("2"), user("3"), answer("4")]
        messages.add([*said, user("5")])
        for count in range(1, 13):
            assert listed(index.driver("c")).read(count) == [*said, user("5")][-count:]
        assert messages.read(0) == []

    @both
    def test_pop_takes_one_message_after_the_other(self, index):
        driver = index.driver("c")
        said = [
            user("1"),
            answer("2"),
            user("3"),
            calling("t"),
            result("t"),
            answer("4"),
            user("5"),
        ]
        listed(driver).add(said)
        while said:
            assert listed(driver).pop() == said.pop()
            assert listed(driver).read() == said
        assert listed(driver).pop() is None
        assert driver.open_runs() == []

    @both
    def test_a_turn_goes_on_in_the_format_that_it_has(self, index):
        driver = index.driver("c")
        listed(driver, "openai-responses").add([user("Where?"), CALL])
        listed(driver).add([result("t"), answer("There.")])
        assert driver.messages(format="openai-responses")[:3] == [user("Where?"), CALL, OUTPUT]
        assert [message["role"] for message in listed(driver).read()] == [
            "user",
            "assistant",
            "tool",
            "assistant",
        ]

    @both
    def test_runs_that_stay_are_kept_as_they_are_when_all_is_replaced(self, index):
        driver = index.driver("c")
        said = [user("1"), answer("2"), user("3"), answer("4")]
        listed(driver).add(said)
        driver.update_metadata({"topic": "numbers"})
        first, second = driver.load()[0]
        driver.annotate(second.id, {"feedback": 1})
        listed(driver).replace([*said[2:], user("5")])
        runs, metadata = driver.load()
        assert [run.id for run in runs] == [second.id]
        assert runs[0].meta == {"feedback": 1} and metadata == {"topic": "numbers"}
        assert listed(driver).read() == [*said[2:], user("5")]
        listed(driver).clear()
        assert (driver.load(), driver.open_runs()) == (([], {"topic": "numbers"}), [])

    @both
    def test_other_meta_stays_when_a_run_goes_on(self, index):
        driver = index.driver("c")
        driver.append(Run("1", "2", {"model": "m"}))
        listed(driver).add([answer("3")])
        listed(driver).pop()
        assert driver.load()[0][0].meta == {"model": "m"}

    @both
    def test_other_owners_neither_read_nor_write(self, index):
        listed(index.driver("c", owner="ann")).add([user("Why?")])
        bob = listed(index.driver("c", owner="bob"))
        assert (bob.read(), bob.pop(), bob.delete(0), bob.clear()) == ([], None, None, None)
        for change in (bob.add, bob.replace):
            with self.assertRaises(ConversationNotFound):
                change([user("Hi"), answer("Hello")])
        assert listed(index.driver("c")).read() == [user("Why?")]

    @both
    def test_a_reply_that_a_worker_writes_is_left_alone(self, index):
        driver = index.driver("c")
        run_id = driver.begin("Why?").run_id
        driver.reply(run_id)
        messages = listed(driver)
        assert messages.read() == []
        messages.add([user("And?"), answer("So.")])
        assert [run.run_id for run in driver.open_runs()] == [run_id]

    @both
    def test_what_is_no_json_or_too_large_is_refused_and_nothing_is_stored(self, index):
        messages = listed(index.driver("c"))
        for wrong in ("text", [1], [{"x": {1, 2}}], {"role": "user"}):
            with self.assertRaises(ValueError):
                messages.add(wrong)
        with self.assertRaises(ConversationTooLarge):
            messages.add([user("x" * 20_000_000)])
        assert not index.driver("c").exists()
        assert messages.read() == []

    def test_a_turn_is_two_round_trips_once_the_end_is_known(self):
        messages = MessageList(self.index.driver("c"))
        for text in ("1", "2"):  # the server gets the scripts
            messages.add([user(text)])
            messages.add([answer(text)])
        with counted() as sent:
            messages.add([user("3")])
            messages.add([answer("4")])
        assert len(sent) == 2
        with counted() as sent:
            MessageList(self.index.driver("c")).read(20)
        assert len(sent) == 1

    def test_two_writers_that_know_different_ends_lose_nothing(self):
        one, other = (MessageList(self.index.driver("c")) for _ in range(2))
        one.add([user("1")])
        assert other.read() == [user("1")]
        one.add([calling("t", "u")])
        other.add([result("t")])
        one.add([result("u")])
        other.add([answer("2")])
        one.add([answer("3"), user("4")])
        other.add([answer("5")])
        said = [user("1"), calling("t", "u"), result("t"), result("u"), answer("2"), answer("3")]
        assert one.read() == [*said, user("4"), answer("5")] == other.read()

    def test_a_writer_that_comes_between_loses_nothing(self):
        driver, amend = self.index.driver("c"), Replies.amend

        def overtaken(*args):
            Replies.amend = amend
            MessageList(driver).add([calling("t")])
            return (yield from amend(*args))

        MessageList(driver).add([user("0"), user("1")])
        with patch.object(Replies, "amend", overtaken):
            assert MessageList(driver).pop() == calling("t")
        with patch.object(Replies, "amend", overtaken):
            MessageList(driver).add([user("2")])
        assert MessageList(driver).read() == [user("0"), user("1"), calling("t"), user("2")]

    def test_a_deletion_that_comes_between_is_not_undone(self):
        driver, amend = self.index.driver("c"), Replies.amend

        def overtaken(*args):
            Replies.amend = amend
            self.index.driver("c").delete()
            return (yield from amend(*args))

        MessageList(driver).add([user("0"), calling("t")])
        with patch.object(Replies, "amend", overtaken):
            assert MessageList(driver).pop() is None
        assert not driver.exists()

    @both
    def test_a_turn_that_was_failed_as_abandoned_is_in_the_list_and_goes_on(self, index):
        driver = index.driver("c")
        messages = listed(driver)
        messages.add([user("Where?")])
        messages.add([calling("t")])
        [run] = driver.open_runs()
        assert driver.fail(run.run_id, "No worker has finished this reply in time.")
        assert listed(driver).read() == [user("Where?"), calling("t")]
        messages.add([result("t")])
        listed(driver).add([answer("There.")])
        said = [user("Where?"), calling("t"), result("t"), answer("There.")]
        assert (listed(driver).read(), driver.open_runs()) == (said, [])

    def test_a_long_list_of_questions_is_split_in_one_pass(self):
        converted = []

        def to_chat(messages):
            converted.extend(messages)
            return OPENAI.to_chat(messages)

        asked = [user(str(number)) for number in range(200)]
        format = replace(OPENAI, to_chat=to_chat)
        [turn] = split(asked, format, Turn(format, [user("first")]))
        assert turn.messages == [user("first"), *asked]
        assert len(converted) < 5 * len(asked)

    def test_it_is_a_list(self):
        with alternating(self.index) as indexes:

            @settings(max_examples=60)
            @given(steps, st.sampled_from(["openai", "openai-responses"]))
            def check(steps, format):
                driver, said = next(indexes).driver(), []
                messages = listed(driver, format)
                for step, argument in steps:
                    if step == "open":
                        messages = listed(driver, format)
                    elif step == "read":
                        assert same(messages.read(argument), said[-argument:])
                    elif step in ("pop", "clear"):
                        getattr(messages, step)()
                        del said[-1 if step == "pop" else 0 :]
                    else:
                        getattr(messages, step)(argument)
                        self.apply(said, step, argument)
                    assert same(listed(driver, format).read(), said)
                driver.delete()

            check()

    def apply(self, said, step, argument):
        if step == "delete":
            del said[argument : argument + 1 or None]
        else:
            said[:] = [*(said if step == "add" else []), *argument]


def same(one, other):
    return json.dumps(one) == json.dumps(other)
