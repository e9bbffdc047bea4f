"""Replies of the example: word by word, stopped, tried again, and taken up after a kill."""

import os
import re
import subprocess
import sys
import time
from threading import Event
from unittest import mock
from urllib.parse import urlsplit

from django.core.cache import cache
from django.test.utils import override_settings

from conversation_memory import Run, indexes
from example_project.chat import tasks, thread_pool
from example_project.chat.responders import reads_conversation
from example_project.chat.thread_pool import ImmediateBackend

from .test_example_views import IMMEDIATE, ChatTestCase

HERE = "tests.test_example_replies"
THREADS = {"default": {"BACKEND": "example_project.chat.thread_pool.ThreadPoolBackend"}}
RESPONDERS = "tests.test_example_responders"


class WorkerDies(ImmediateBackend):
    """Takes tasks and never runs them."""

    taken = []

    def _execute_task(self, task_result):
        self.taken.append(task_result)


DEAD = {"default": {"BACKEND": f"{HERE}.WorkerDies"}}
GO_ON = Event()


def hesitate(runs, text):
    yield "Wait. "
    GO_ON.wait(10)
    yield f"{text}!"


def meanwhile(runs, text):
    indexes["default"].driver("c1").append(Run("by another", "meanwhile"))
    yield f"{text}!"


def stall(runs, text):
    yield "The beginning of"
    time.sleep(60)


def break_down(runs, text):
    yield "Secret: "
    raise KeyError("password")


def say_nothing(runs, text):
    yield from ("", " ")


@reads_conversation
def recall(driver, text):
    """Reads the conversation itself, as a framework does, and tells what to keep."""
    yield f"You said: {driver.messages()[0]['content']}."
    yield {"model": "recall-1"}


class RepliesTestCase(ChatTestCase):
    def setUp(self):
        super().setUp()
        GO_ON.clear()
        self.driver().store([Run("My name is Ada", "b")])
        WorkerDies.taken.clear()

    def state(self):
        return [run.state for run in self.driver().open_runs()]

    def texts(self):
        return [run.output.text for run in self.driver().load()[0]]

    def press(self, name, run):
        return self.client.post(f"/c/c1/r/{run}/{name}/")

    def stream(self, run):
        return b"".join(self.client.get(f"/c/c1/r/{run}/stream/").streaming_content).decode()

    def until(self, condition):
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)


class ReplyTests(RepliesTestCase):
    @override_settings(TASKS=DEAD)
    def test_a_question_is_on_the_page_before_its_reply_and_beside_the_conversation(self):
        _, run = self.write("Is anybody there?")
        page = self.page()
        assert "Is anybody there?" in page and "Writing a reply" in page
        assert f'<conversation-reply src="/c/c1/r/{run}/stream/" result="/c/c1/r/{run}/">' in page
        assert '<noscript><meta http-equiv="refresh"' in page
        assert "2 exchanges" in page
        assert self.texts() == ["b"]

    @override_settings(TASKS=THREADS, CHAT_RESPONDER=f"{HERE}.hesitate")
    def test_the_page_answers_before_the_reply_is_there(self):
        self.write("Hello")
        assert self.texts() == ["b"]
        GO_ON.set()
        thread_pool.close()
        assert self.texts() == ["b", "Wait. Hello!"]

    @override_settings(CHAT_RESPONDER=f"{HERE}.meanwhile")
    def test_a_reply_keeps_what_others_wrote_meanwhile(self):
        self.write("Hello")
        assert self.texts() == ["b", "meanwhile", "Hello!"]

    @override_settings(CHAT_RESPONDER=f"{HERE}.recall")
    def test_a_responder_may_read_the_conversation_itself_and_add_to_meta(self):
        self.write("Hello")
        assert self.texts() == ["b", "You said: My name is Ada."]
        meta = self.driver().tail(1)[0].meta
        assert meta["model"] == "recall-1" and meta["asked"]

    def test_the_time_of_the_question_stays_with_it(self):
        self.write("Hello")
        assert re.search(r"<h2 class=\"speaker\">You <time ", self.page())

    def test_the_reply_alone_is_a_fragment(self):
        _, run = self.write("Who am I?")
        page = self.page(f"/c/c1/r/{run}/")
        assert "Your name is Ada." in page and "<html" not in page

    @override_settings(TASKS=DEAD)
    def test_before_the_outcome_the_fragment_says_so(self):
        _, run = self.write("Hello")
        assert self.client.get(f"/c/c1/r/{run}/").status_code == 202

    def test_what_is_not_there_is_not_found(self):
        for path in ("c1/r/nothing", "nothing/r/r1"):
            for name in ("", "stream/"):
                assert self.client.get(f"/c/{path}/{name}").status_code == 404, path

    def test_the_stream_has_the_words_and_the_outcome(self):
        _, run = self.write("Who am I?")
        stream = self.stream(run)
        assert "name is Ada" in stream and "event: finished" in stream


class FailureTests(RepliesTestCase):
    @override_settings(CHAT_RESPONDER=f"{RESPONDERS}.refuse")
    def test_a_reason_instead_of_a_reply_is_shown_and_can_be_tried_again(self):
        _, run = self.write("Hello")
        assert self.state() == ["failed"] and self.texts() == ["b"]
        for url in ("/c/c1/", f"/c/c1/r/{run}/"):
            assert "The model is on holiday." in self.page(url) and "Try again" in self.page(url)
        assert "event: failed" in self.stream(run)
        assert "http-equiv" not in self.page()
        with override_settings(CHAT_RESPONDER=f"{RESPONDERS}.echo"):
            response = self.press("retry", run)
            self.press("retry", run)
        assert urlsplit(response.url).path == "/c/c1/"
        assert self.texts() == ["b", "Hello!"] and self.state() == []

    @override_settings(CHAT_RESPONDER=f"{RESPONDERS}.refuse")
    def test_two_clicks_ask_once(self):
        _, run = self.write("Hello")
        with override_settings(TASKS=DEAD):
            self.press("retry", run)
            self.press("retry", run)
            assert self.state() == ["waiting"]
            assert "Writing a reply" in self.page()

    @override_settings(CHAT_RESPONDER=f"{HERE}.break_down")
    def test_a_responder_that_breaks_down_tells_the_visitor_nothing_else(self):
        with self.assertLogs("example_project", "ERROR"):
            self.write("Hello")
        page = self.page()
        assert "The assistant is not available" in page
        assert "Secret" not in page and "KeyError" not in page

    @override_settings(CHAT_RESPONDER="parrot")
    def test_an_unknown_responder_is_named_in_the_log(self):
        with self.assertLogs("example_project", "ERROR") as logs:
            self.write("Hello")
        assert "Choose one of rules, openai, griptape, " in logs.output[0]
        assert "The assistant is not available" in self.page()

    @override_settings(CHAT_RESPONDER=f"{HERE}.say_nothing")
    def test_an_empty_reply_is_a_failure(self):
        self.write("Hello")
        assert self.state() == ["failed"] and "nothing to say" in self.page()

    def test_trying_an_answered_message_again_changes_nothing(self):
        _, run = self.write("Hello")
        before = self.stored("c1")
        self.press("retry", run)
        assert self.stored("c1") == before and self.state() == []


@override_settings(TASKS=THREADS, CHAT_RESPONDER=f"{HERE}.hesitate")
class StopTests(RepliesTestCase):
    def tearDown(self):
        GO_ON.set()
        thread_pool.close()
        super().tearDown()

    def begun(self):
        """A reply of which a part was said."""
        _, run = self.write("Hello")
        next(iter(self.driver().follow(run)))
        return run

    def test_what_was_said_before_a_stop_stays(self):
        run = self.begun()
        assert self.press("stop", run).url == "/c/c1/#latest"
        assert self.texts() == ["b", "Wait. "]
        assert "You stopped this reply." in self.page()
        GO_ON.set()
        thread_pool.close()
        assert self.texts() == ["b", "Wait. "]

    def test_before_the_first_word_the_question_stays_and_can_be_asked_again(self):
        with override_settings(TASKS=DEAD):
            _, run = self.write("Hello")
            self.press("stop", run)
        page = self.page()
        assert "You stopped this reply." in page and "Try again" in page
        GO_ON.set()
        self.press("retry", run)
        self.until(lambda: self.texts() == ["b", "Wait. Hello!"])

    def test_a_stop_that_comes_too_late_changes_nothing(self):
        run = self.begun()
        GO_ON.set()
        thread_pool.close()
        self.press("stop", run)
        assert self.texts() == ["b", "Wait. Hello!"]


class TakingUpTests(RepliesTestCase):
    entry = {"REPLY_LEASE": 1}

    WORKER = """
import sys, django
from django.conf import settings
django.setup()
entry = {"INDEX": sys.argv[1], "REPLY_LEASE": 1}
settings.REDIS = {"default": {"URL": settings.REDIS_URL, **entry}}
settings.CHAT_RESPONDER = "tests.test_example_replies.stall"
from example_project.chat import tasks
tasks.reply.func(*sys.argv[2:])
"""

    def worker(self, *arguments):
        environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
        command = [sys.executable, "-c", self.WORKER, self.index.name, *arguments]
        return subprocess.Popen(command, env=environ)

    @override_settings(TASKS=DEAD)
    def test_a_worker_that_is_killed_is_replaced(self):
        _, run = self.write("Who am I?")
        process = self.worker("c1", str(self.user.pk), run)
        try:
            self.until(lambda: self.state() != ["waiting"])
            follower = iter(self.driver().follow(run))
            assert next(follower).text == "The beginning of"
        finally:
            process.kill()
            process.wait()
        self.until(lambda: self.state() == ["lost"])
        assert "Writing a reply" in self.page()
        cache.delete(f"taken-up-{run}")
        with override_settings(TASKS=IMMEDIATE):
            self.page()
        kinds = [chunk.kind for chunk in follower]
        assert kinds[0] == "restart" or kinds[:2] == ["lost", "restart"]
        assert kinds[-1] == "finished"
        assert self.texts() == ["b", "Your name is Ada. You told me so yourself."]

    @override_settings(TASKS=DEAD)
    def test_a_task_that_nobody_runs_is_enqueued_again_but_not_by_each_page(self):
        self.write("Who am I?")
        self.page()
        assert len(WorkerDies.taken) == 1
        time.sleep(0.02)
        with override_settings(CHAT_PATIENCE_SECONDS=0.01):
            with mock.patch("django.core.cache.cache.add", side_effect=[True, False]):
                self.page()
                self.page()
        assert len(WorkerDies.taken) == 2

    def test_a_second_worker_leaves_a_reply_alone(self):
        with override_settings(TASKS=DEAD):
            _, run = self.write("Who am I?")
        with self.driver().reply(run) as reply:
            tasks.reply.func("c1", str(self.user.pk), run)
            reply.write("I do it.")
        assert self.texts() == ["b", "I do it."]
        tasks.reply.func("c1", str(self.user.pk), run)
        assert self.texts() == ["b", "I do it."]
