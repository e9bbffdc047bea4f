"""The promises of an integration with a framework, as tests that run on yours."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

from ..exceptions import ConversationMemoryError, ConversationNotFound, RedisUnavailable
from ..indexes import indexes
from ..runs import Run
from .own_indexes import IndexTestMixin

if TYPE_CHECKING:
    Case = IndexTestMixin
else:
    Case = object  # or runners would run the tests here, of no integration

TEXTS = [
    "Where is my refund?",
    'quote " backslash \\ {"type": "Run"} <b>',
    "👩‍👩‍👧‍👦 \u202eשלום\u2028\n\ttab",
    "x" * 50_000,
]
WRITERS, EACH = 3, 4


class IntegrationTestMixin(Case):
    """Tests of what a memory of a framework promises that keeps its messages in a driver.

    `class CrewTests(IntegrationTestMixin, IndexTestMixin, SimpleTestCase)`, with the methods `add`
    and `read`, and the others as far as the framework knows such messages. Each opens the memory
    anew on `driver`, as a new process would.
    """

    def add(self, driver: Any, question: str, answer: str) -> None:
        """Add a turn to the conversation of `driver`, as the framework does."""
        raise NotImplementedError

    def read(self, driver: Any) -> list[str]:
        """The texts of all questions and answers, oldest first, as the framework reads them."""
        raise NotImplementedError

    def add_question(self, driver: Any, question: str) -> None:
        """Add a question that has no answer yet."""
        raise SkipTest("This integration stores whole turns only.")

    def add_call(self, driver: Any, question: str, name: str, result: str, answer: str) -> None:
        """Add a turn in which the model calls the tool `name`, which returns `result`."""
        raise SkipTest("This integration stores no tool calls.")

    def driver(self, id: str = "42", **options: Any) -> Any:
        return self.index.driver(id, **options)

    def test_turns_are_read_as_they_were_added(self) -> None:
        self.assertEqual(self.read(self.driver()), [])
        texts: list[str] = []
        for number, text in enumerate(TEXTS):
            self.add(self.driver(), text, f"{number} {text}")
            texts += [text, f"{number} {text}"]
            self.assertEqual(self.read(self.driver()), texts)

    def test_each_turn_is_a_run_and_is_read_as_messages(self) -> None:
        for text in TEXTS:
            self.add(self.driver(), text, f"{text}!")
        runs = self.driver().load()[0]
        self.assertEqual([run.input.text for run in runs], TEXTS)
        self.assertEqual([run.output.text for run in runs], [f"{text}!" for text in TEXTS])
        messages = [(it["role"], it["content"]) for it in self.driver().messages()]
        expected = [(("user", text), ("assistant", f"{text}!")) for text in TEXTS]
        self.assertEqual(messages, [message for turn in expected for message in turn])

    def test_what_the_app_wrote_is_read(self) -> None:
        self.driver().append(Run("a question", "an answer"))
        another = {"role": "user", "content": "another"}
        self.driver().append_messages([another, {"role": "assistant", "content": "its answer"}])
        self.add(self.driver(), "a third", "its answer, too")
        texts = ["a question", "an answer", "another", "its answer", "a third", "its answer, too"]
        self.assertEqual(self.read(self.driver()), texts)

    def test_reading_changes_nothing(self) -> None:
        self.add(self.driver(), "a question", "an answer")
        before = self.driver().read()
        self.read(self.driver())
        self.assertEqual(self.driver().read(), before)

    def test_a_question_without_an_answer_is_kept_and_is_no_run(self) -> None:
        self.add(self.driver(), "a question", "an answer")
        self.add_question(self.driver(), "another")
        self.assertEqual(self.read(self.driver()), ["a question", "an answer", "another"])
        self.assertEqual(self.driver().record().runs, 1)

    def test_tool_calls_are_read_by_others(self) -> None:
        self.add_call(self.driver(), "What is the time?", "clock", "12:30", "Half past twelve.")
        asked, called, told, said = self.driver().messages()
        self.assertEqual(
            (asked["content"], said["content"]), ("What is the time?", "Half past twelve.")
        )
        [call] = called["tool_calls"]
        self.assertEqual((call["function"]["name"], call["id"]), ("clock", told["tool_call_id"]))
        self.assertIn("12:30", str(told["content"]))
        self.assertEqual(self.driver().record().runs, 1)

    def test_an_owner_neither_reads_nor_changes_what_is_of_another(self) -> None:
        self.add(self.driver(owner="ann"), "a question", "an answer")
        before = self.driver().read()
        self.assertEqual(before.record.owner, "ann")
        self.assertEqual(self.read(self.driver(owner="bob")), [])
        with self.assertRaises(ConversationNotFound):
            self.add(self.driver(owner="bob"), "another", "an answer")
        self.assertEqual(self.driver().read(), before)
        self.assertEqual(len(self.read(self.driver(owner="ann"))), 2)

    def test_writers_at_once_lose_nothing(self) -> None:
        names = [[f"{writer}-{number}" for number in range(EACH)] for writer in range(WRITERS)]

        def write(own: list[str]) -> None:
            for name in own:
                self.add(self.driver(), name, f"answer {name}")

        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(write, names))
        runs = self.driver().load()[0]
        found = [(run.input.text, run.output.text) for run in runs]
        self.assertEqual({*found}, {(name, f"answer {name}") for own in names for name in own})
        self.assertEqual(len(found), WRITERS * EACH)
        for own in names:
            self.assertEqual([asked for asked, _ in found if asked in own], own)

    def test_errors_of_redis_arrive_as_ours(self) -> None:
        from django.test.utils import override_settings

        down = {"down": {"URL": "redis://127.0.0.1:1/0", "OPTIONS": {"retry": None}}}
        with override_settings(REDIS=down):
            driver = indexes["down"].driver("42")
            for use in (self.read, lambda driver: self.add(driver, "a question", "an answer")):
                with self.assertRaises(RedisUnavailable):
                    use(driver)

    def test_damage_is_an_error_and_is_not_written_over(self) -> None:
        client = self.driver().client
        client.hset(self.index.name, "42", b"{")
        for use in (self.read, lambda driver: self.add(driver, "a question", "an answer")):
            with self.assertRaises(ConversationMemoryError):
                use(self.driver())
        self.assertEqual(client.hget(self.index.name, "42"), b"{")
