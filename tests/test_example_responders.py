import json
import os
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from unittest import mock

from django.test import SimpleTestCase

from conversation_memory import Artifact, Run
from example_project.chat.responders import ResponderError, openai, rules


def refuse(runs, text):
    yield "Well, "
    raise ResponderError("The model is on holiday.")


def echo(runs, text):
    yield from (text, "!")


class RulesTests(SimpleTestCase):
    def talk(self, *texts):
        """The answer to the last of `texts`, said in one conversation."""
        runs = []
        for text in texts:
            runs.append(Run(text, "".join(rules.respond(runs, text))))
        return runs[-1].output.text

    def test_it_answers_word_by_word(self):
        words = list(rules.respond([], "My name is Ada"))
        assert words[:3] == ["Pleased ", "to ", "meet "]
        assert "".join(words) == rules.answer([], "My name is Ada")

    def test_a_name_is_remembered_in_seven_languages(self):
        for said, asked, name in [
            ("My name is Ada", "What's my name?", "Ada"),
            ("Hi, I'm Bob", "Who am I?", "Bob"),
            ("Ich heiße Jörg", "Wie heiße ich?", "Jörg"),
            ("Je m’appelle Élodie", "Comment je m'appelle ?", "Élodie"),
            ("Me llamo Inés", "¿Cómo me llamo?", "Inés"),
            ("اسمي ليلى", "ما اسمي؟", "ليلى"),
            ("मेरा नाम मीरा है", "मेरा नाम क्या है?", "मीरा"),
            ("私の名前は陽子です", "私の名前は何ですか?", "陽子"),
        ]:
            with self.subTest(said):
                assert name in self.talk(said, asked)

    def test_it_answers_in_the_language_that_is_spoken(self):
        assert self.talk("Hallo").startswith("Hallo!")
        assert self.talk("¡Hola!").startswith("¡Hola!")
        assert self.talk("Guten Tag", "12 34") == self.talk("Hallo", "12 34")

    def test_the_latest_name_counts(self):
        assert "Bob" in self.talk("My name is Ada", "No, call me Bob", "Who am I?")

    def test_an_unknown_name_is_asked_for(self):
        assert "not told me your name" in self.talk("What is my name?")

    def test_likings_add_up(self):
        answer = self.talk("I like rain.", "I love old trams, really", "What do I like?")
        assert answer == "You told me that you like rain and old trams."

    def test_what_was_said_is_quoted(self):
        said = "The garden needs new tulips"
        assert f"“{said}”" in self.talk(said, "What did I say about the garden?")

    def test_what_was_not_said_is_not_made_up(self):
        assert "not said anything" in self.talk("Hello", "What did I say about trains?")

    def test_questions_to_the_memory_are_no_topics(self):
        assert "“The roof leaks”" in self.talk(
            "The roof leaks", "How many messages?", "Where were we?"
        )

    def test_messages_are_counted(self):
        assert "number 3" in self.talk("Hello", "Well", "How many messages is this?")

    def test_it_sees_connections(self):
        assert "“The roof leaks in winter”" in self.talk(
            "The roof leaks in winter", "Winter is near"
        )

    def test_it_greets_by_name(self):
        assert self.talk("My name is Ada", "Hello") == "Hello, Ada! What is on your mind?"

    def test_braces_are_only_text(self):
        assert "{name}" in self.talk("I like {name} and {0}", "What do I like?")

    def test_a_page_of_text_is_answered_in_time(self):
        assert self.talk("मुझे " * 4000)


class Stub(BaseHTTPRequestHandler):
    """Answers as its server's `answer(handler)` says and keeps what was asked."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, dict(self.headers), json.loads(body)))
        self.server.answer(self)

    def reply(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def says(text):
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


def streams(*pieces):
    """An answer as OpenAI and its imitators stream it."""
    deltas = [{"role": "assistant"}, *({"content": piece} for piece in pieces)]
    choices = [[{"delta": delta, "finish_reason": None}] for delta in deltas]
    choices += [[{"delta": {}, "finish_reason": "stop"}], []]
    lines = [f"data: {json.dumps({'choices': choice})}\n\n" for choice in choices]
    return "".join([": ping\n\n", *lines, "data: [DONE]\n\n"]).encode()


SSE = {"Content-Type": "text/event-stream; charset=utf-8"}


class OpenAITests(SimpleTestCase):
    runs = [
        Run("My name is Ada", "Hello Ada"),
        Run("Draw it", Artifact("out of ink", type="ErrorArtifact")),
        Run("Still there?", ""),
    ]

    @contextmanager
    def server(self, answer, **environ):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
        server.asked, server.answer = [], answer
        thread = Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/v1/"
        try:
            with self.environ(OPENAI_BASE_URL=address, **environ):
                yield server
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def respond(self, text, runs=()):
        return "".join(openai.respond(runs, text))

    def environ(self, **values):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI_")}
        values = {"OPENAI_MODEL": "small", "OPENAI_API_KEY": "secret", **values}
        return mock.patch.dict(os.environ, {**kept, **values}, clear=True)

    def failure(self, answer, **environ):
        with self.server(answer, **environ):
            return self.logged()

    def logged(self, sentence=openai.UNAVAILABLE):
        """What is logged of a failure; the visitor gets a sentence."""
        with self.assertLogs(openai.logger, "ERROR") as logs:
            with self.assertRaisesMessage(ResponderError, sentence):
                self.respond("Hello")
        assert "secret" not in logs.output[0]
        return logs.output[0]

    def test_sends_what_is_remembered(self):
        with self.server(lambda stub: stub.reply(200, says("You are Ada."))) as server:
            assert self.respond("Who am I?", self.runs) == "You are Ada."
        [(path, headers, body)] = server.asked
        assert path == "/v1/chat/completions"
        assert headers["Authorization"] == "Bearer secret"
        assert (body["model"], body["stream"]) == ("small", True)
        assert [(m["role"], m["content"]) for m in body["messages"]] == [
            ("user", "My name is Ada"),
            ("assistant", "Hello Ada"),
            ("user", "Draw it"),
            ("user", "Still there?"),
            ("user", "Who am I?"),
        ]

    def test_a_streamed_answer_comes_in_its_pieces(self):
        pieces = ["Grüß ", "dich,\n", "👩‍🚀", "\u2028!"]
        with self.server(lambda stub: stub.reply(200, streams(*pieces), **SSE)):
            assert [p for p in openai.respond([], "Hello") if p] == pieces

    def test_a_piece_is_there_before_the_next_is_sent(self):
        seen = Event()

        def answer(stub):
            start, end = streams("first", "second").split(b"second")
            stub.send_response(200)
            stub.send_header("Content-Type", "text/event-stream")
            stub.end_headers()
            stub.wfile.write(start.rpartition(b"data:")[0])
            assert seen.wait(10)
            stub.wfile.write(start.rpartition(b"\n\n")[2] + b"second" + end)

        with self.server(answer):
            pieces = filter(None, openai.respond([], "Hello"))
            assert next(pieces) == "first"
            seen.set()
            assert next(pieces) == "second"

    def test_a_stream_that_breaks_off_is_a_failure(self):
        whole = streams("The beginning")
        for cut in (whole[: whole.index(b"stop")], whole[: whole.rindex(b"stop") - 40] + b"\n"):
            with self.subTest(cut[-20:]):
                failure = self.failure(lambda stub, body=cut: stub.reply(200, body, **SSE))
                assert "unexpected response" in failure or "was interrupted" in failure

    def test_an_error_within_a_stream_is_a_failure(self):
        broken = (
            streams("The").partition(b"data: [DONE]")[0] + b'data: {"error": {"code": 500}}\n\n'
        )
        assert "unexpected response" in self.failure(lambda stub: stub.reply(200, broken, **SSE))

    def test_sends_no_more_than_a_model_takes_in(self):
        with self.server(lambda stub: stub.reply(200, says("."))) as server:
            self.respond("last", [Run(str(n), "") for n in range(100)])
        messages = server.asked[0][2]["messages"]
        assert (len(messages), messages[0]["content"]) == (41, "60")

    def test_a_server_of_ones_own_needs_no_key(self):
        with self.server(lambda stub: stub.reply(200, says(".")), OPENAI_API_KEY="") as server:
            self.respond("Hello")
        assert "Authorization" not in server.asked[0][1]

    def test_errors_of_the_server_are_put_in_words(self):
        for status in (500, 401, 429):
            with self.subTest(status):
                failure = self.failure(lambda stub, s=status: stub.reply(s, b"{}"))
                assert f"status {status}" in failure

    def test_a_slow_server_is_given_up(self):
        done = Event()
        self.addCleanup(done.set)
        with self.server(lambda stub: done.wait(0.5), OPENAI_TIMEOUT="0.1"):
            assert "did not answer in time" in self.logged(openai.SLOW)

    def test_an_answer_that_is_no_http(self):
        assert "was interrupted" in self.failure(
            lambda stub: stub.wfile.write(b"220 smtp ready\r\n\r\n")
        )

    def test_an_answer_that_breaks_off(self):
        def break_off(stub):
            stub.send_response(200)
            stub.send_header("Content-Length", "1000")
            stub.end_headers()
            stub.wfile.write(b'{"choices"')

        assert "unexpected response" in self.failure(break_off)

    def test_answers_of_another_shape(self):
        for body in (b"<html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{}]}', b"null"):
            with self.subTest(body):
                assert "unexpected response" in self.failure(
                    lambda stub, b=body: stub.reply(200, b)
                )

    def test_the_key_does_not_follow_a_redirect(self):
        with self.server(lambda stub: stub.reply(200, says("stolen"))) as other:
            elsewhere = f"http://127.0.0.1:{other.server_port}/"
            assert "302" in self.failure(lambda stub: stub.reply(302, b"", Location=elsewhere))
        assert other.asked == []

    def test_no_server(self):
        with self.environ(OPENAI_BASE_URL="http://127.0.0.1:1"):
            assert "cannot be reached" in self.logged()

    def test_settings_that_cannot_work(self):
        with self.environ(OPENAI_MODEL=""):
            assert "OPENAI_MODEL is not set" in self.logged()
        with self.environ(OPENAI_BASE_URL="file:///etc/passwd"):
            assert "must start with" in self.logged()
