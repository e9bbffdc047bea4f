"""What the how-tos define, used as their readers would use it."""

import asyncio
import unittest
from functools import partial
from importlib.util import find_spec
from io import StringIO
from unittest import mock

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import User
from django.test import AsyncRequestFactory, RequestFactory

from conversation_memory import indexes
from conversation_memory.exceptions import ConversationNotFound, RedisUnavailable

from .pages import ROOT, Reader
from .utils import RedisTestCase


def user(pk):
    user = User(pk=pk, username=f"user-{pk}")
    user._state.adding = False
    return user


class PageTestCase(RedisTestCase):
    page = ""

    def setUp(self):
        super().setUp()
        self.addCleanup(self.wipe_all)
        reader = Reader(self, ROOT / f"docs/howto/{self.page}.md")
        reader.read()
        self.names = reader.names

    def wipe_all(self):
        for key in self.redis.scan_iter(f"*{self.index.name}*", count=10_000):
            self.redis.delete(key)

    def __getattr__(self, name):
        try:
            return self.__dict__["names"][name]
        except KeyError:
            raise AttributeError(name) from None

    def runs(self, conversation_id):
        return indexes["default"].driver(conversation_id, owner=7).load()[0]


class UseTests(PageTestCase):
    page = "use"

    def setUp(self):
        self.forget_task()  # which the test of the page may have registered
        super().setUp()
        self.addCleanup(self.forget_task)

    def forget_task(self):
        """Celery keeps the first task of a name, and warns of the next."""
        if find_spec("celery"):
            from celery import current_app

            for name in [name for name in current_app.tasks if name.split(".")[-1] == "reply"]:
                del current_app.tasks[name]

    def post(self, pk=7, **data):
        request = RequestFactory().post("/", data)
        request.user = user(pk)
        return request

    def test_a_view(self):
        for count in (0, 1):
            answer = self.ask(self.post(question="a", run_id="1"), "view")
            assert f"{count} times" in answer.text
        assert [run.id for run in self.runs("view")] == ["1"]
        with pytest.raises(ConversationNotFound):
            self.ask(self.post(pk=8, question="b"), "view")

    def test_an_async_view(self):
        async def auser():
            return user(7)

        request = AsyncRequestFactory().post("/", {"question": "a"})
        request.user, request.auser = user(7), auser
        assert "0 times" in async_to_sync(self.ask_async)(request, "async").text
        assert self.runs("async")[0].input.text == "a"

    def test_a_form_view(self):
        view = self.AskView.as_view()
        request = self.post(question="a", run_id="1")
        with mock.patch.object(self.AskView, "get_success_url", return_value="/"):
            assert view(request, conversation_id="form").status_code == 302
        request.method = "GET"
        assert view(request, conversation_id="form").context_data["found"].total == 1

    def test_a_celery_task_that_is_repeated(self):
        pytest.importorskip("celery")
        for _ in range(2):
            self.reply.apply(args=("celery", 7, "a"), task_id="task-1").get()
        assert [run.id for run in self.runs("celery")] == ["task-1"]

    def test_a_task_of_django(self):
        pytest.importorskip("django_tasks")
        self.reply_later.func("task", 7, "a", "1")
        assert [run.id for run in self.runs("task")] == ["1"]

    def test_a_command(self):
        self.ask(self.post(question="a"), "view")
        out = StringIO()
        self.Command(stdout=out).handle(owner=7)
        assert "view\ta\n" in out.getvalue()

    def test_a_consumer(self):
        pytest.importorskip("channels")

        async def talk():
            scope = {"type": "websocket", "user": user(7)}
            scope["url_route"] = {"kwargs": {"conversation_id": "socket"}}
            socket = ApplicationCommunicator(self.ChatConsumer.as_asgi(), scope)
            await socket.send_input({"type": "websocket.connect"})
            assert (await socket.receive_output())["type"] == "websocket.accept"
            await socket.send_input({"type": "websocket.receive", "text": '{"question": "a"}'})
            assert "0 times" in (await socket.receive_output())["text"]
            await socket.send_input({"type": "websocket.disconnect", "code": 1000})
            await socket.wait()

        asyncio.run(talk())
        assert self.runs("socket")[0].input.text == "a"

    def test_rest_framework(self):
        test = pytest.importorskip("rest_framework.test")
        view, factory = self.RunsView.as_view(), test.APIRequestFactory()
        post = factory.post("/", {"question": "a", "id": "1"}, format="json")
        get = factory.get("/")
        for request in (post, get):
            test.force_authenticate(request, user(7))
        added = view(post, conversation_id="rest").data
        assert added == {"id": "1", "question": "a", "answer": "You asked 0 times before."}
        assert view(get, conversation_id="rest").data == {"runs": [added], "before": None}

    def test_ninja(self):
        pytest.importorskip("ninja")

        async def call():
            request = mock.Mock(auth=user(7))
            added = await self.add_run(request, "ninja", self.Question(text="a"))
            return added, await self.conversations(request)

        added, listed = asyncio.run(call())
        assert added["answer"] == "You asked 0 times before."
        assert "ninja" in [one["id"] for one in listed["conversations"]]

    def test_the_middleware(self):
        answer = partial(self.MemoryMiddleware(None).process_exception, None)
        assert answer(RedisUnavailable("")).status_code == 503
        assert answer(ConversationNotFound()).status_code == 404
        assert answer(ValueError()) is None


class PromptTests(PageTestCase):
    page = "prompts"

    def test_a_summary_goes_on_where_it_ended(self):
        seen = []

        def summary_of(old, runs):
            seen.append((old, [run.id for run in runs]))
            return "so far"

        driver = indexes["default"].driver("summarised")
        driver.append(*(self.Run("", "", id=str(n)) for n in range(6)))
        for keep in (4, 3, 3):
            self.summarise(driver, summary_of, keep)
        assert seen == [("", ["0", "1"]), ("so far", ["2"])]


class TestingTests(PageTestCase):
    page = "testing"

    def test_its_tests_pass_and_leave_nothing(self):
        result = unittest.TestResult()
        for case in (self.RecallTests, self.AsyncTests, self.AnswerTests, self.DownTests):
            unittest.defaultTestLoader.loadTestsFromTestCase(case)(result)
        assert result.testsRun == 6 and result.wasSuccessful(), result.errors + result.failures

    def test_its_server_is_full(self):
        case = self

        class Settings:  # as the fixture of pytest-django
            def __setattr__(self, name, value):
                case.enterContext(case.settings(**{name: value}))

        self.names["test_a_full_server"](Settings())
