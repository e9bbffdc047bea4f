"""The views of the page about Griptape, called as its readers would call them."""

import json

from asgiref.sync import async_to_sync
from django.test import AsyncRequestFactory, RequestFactory

from conversation_memory import indexes

from ..test_howtos import PageTestCase, user


class GriptapePageTests(PageTestCase):
    page = "../frameworks/griptape"

    def post(self, factory=RequestFactory, **data):
        async def auser():
            return user(7)

        request = factory().post("/", data)
        request.user, request.auser = user(7), auser
        return request

    def test_a_view_answers_and_remembers(self):
        for count in (1, 3):
            response = self.ask(self.post(question="Hello?"), "view")
            assert json.loads(response.content) == {"answer": f"I was sent {count} messages."}
        assert indexes["default"].driver("view").record().owner == "7"

    def test_an_async_view_answers(self):
        request = self.post(AsyncRequestFactory, question="Hello?")
        response = async_to_sync(self.aask)(request, "async")
        assert json.loads(response.content) == {"answer": "I was sent 1 messages."}
        assert len(self.runs("async")) == 1

    def test_a_view_streams(self):
        self.model.stream = True
        response = self.stream(self.post(question="Hello?"), "stream")
        assert response.getvalue().strip() == b"I was sent 1 messages."
        assert len(self.runs("stream")) == 1
