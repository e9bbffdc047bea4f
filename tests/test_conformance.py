"""The suites that others can run on theirs, run on ours."""

import unittest
from threading import Barrier

from django.test import SimpleTestCase

from conversation_memory import Run
from conversation_memory.layouts import LAYOUTS
from conversation_memory.layouts.list import ListLayout
from conversation_memory.message_list import MessageList
from conversation_memory.testing import (
    IndexTestMixin,
    IntegrationTestMixin,
    LayoutTestMixin,
)
from conversation_memory.testing.integration_tests import WRITERS


class HashTests(LayoutTestMixin, IndexTestMixin, SimpleTestCase):
    layout = "hash"


class ListTests(LayoutTestMixin, IndexTestMixin, SimpleTestCase):
    layout = "list"


class MessageListTests(IntegrationTestMixin, IndexTestMixin, SimpleTestCase):
    def add(self, driver, *texts):
        roles = ("user", "assistant")
        messages = [{"role": role, "content": it} for role, it in zip(roles, texts, strict=False)]
        MessageList(driver).add(messages)

    def read(self, driver):
        return [message["content"] for message in MessageList(driver).read()]

    add_question = add

    def add_call(self, driver, question, name, result, answer):
        call = {"id": "1", "type": "function", "function": {"name": name, "arguments": "{}"}}
        MessageList(driver).add(
            [
                {"role": "user", "content": question},
                {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "1", "content": result},
                {"role": "assistant", "content": answer},
            ]
        )


class Forgetful(ListLayout):
    """A layout of somebody else that forgets metadata on the way."""

    def update_metadata(self, ref, changes, remove):
        return (yield from super().update_metadata(ref, {}, remove))


class FoundOutTests(SimpleTestCase):
    """What breaks a promise fails."""

    def run_tests(self, case, *names):
        result = unittest.TestResult()
        for name in names:
            case(name)(result)
        assert result.testsRun == len(names)
        return {str(test).split()[0] for test, _ in (*result.failures, *result.errors)}

    def test_a_layout_that_forgets(self):
        body = {"layout": Forgetful}
        case = type("ForgetfulTests", (LayoutTestMixin, IndexTestMixin, SimpleTestCase), body)
        good = "test_append_adds_each_run_once_in_order"
        bad = "test_metadata_is_merged_and_the_runs_stay"
        assert self.run_tests(case, good, bad) == {bad}
        assert LAYOUTS["list"] is ListLayout

    def test_an_integration_that_reads_and_writes_everything(self):
        def add(self, driver, question, answer):
            runs, metadata = driver.load()
            barrier.wait()  # both have read before one writes
            driver.store([*runs, Run(question, answer)], metadata)

        barrier = Barrier(WRITERS)
        body = {"add": add, "read": lambda self, driver: []}
        case = type("RacingTests", (IntegrationTestMixin, IndexTestMixin, SimpleTestCase), body)
        name = "test_writers_at_once_lose_nothing"
        assert self.run_tests(case, name) == {name}
