"""The custom element <conversation-reply>, with a server that says what it is told."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from threading import Event, Thread

from .browser import BrowserTestCase

SCRIPT = files("conversation_memory") / "static/conversation_memory/reply.js"
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; "
    "require-trusted-types-for 'script'; trusted-types conversation-reply"
)
PAGE = """<!doctype html><html lang="en"><title>Chat</title><script src="/reply.js" defer></script>
<main><h1>Chat</h1><conversation-reply src="/stream" {attributes}><p>A reply is being written.</p>
<form method="post" action="/stop" data-stay><button>Stop</button></form>
</conversation-reply></main>"""


def event(kind, text="", id=""):
    return f"event: {kind}\ndata: {json.dumps({'text': text})}\n" + (f"id: {id}\n" if id else "")


# The pauses of the script are told, and take a hundredth of their time.
QUICK = """window.pauses = []; const later = setTimeout; window.setTimeout = (call, time) =>
(pauses.push(time), later(call, time / 100));\n"""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/stream" and "event-stream" in self.headers["Accept"]:
            return self.stream()
        kind, body = {
            "/": ("text/html", self.server.page),
            "/reply.js": ("text/javascript", self.server.before + SCRIPT.read_text()),
            "/result": ("text/html", "<p>The <b>rendered</b> reply.</p>"),
        }.get(self.path, ("text/plain", ""))
        self.server.loads += [self.path]
        self.say(self.server.statuses.get(self.path, 200), kind, body)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.stopped.set()
        self.say(200, "text/plain", "")

    def stream(self):
        """What the next of the parts says: events, a status, or an Event to wait for."""
        self.server.asked.append(self.headers["Last-Event-ID"])
        part = next(self.server.parts, [503])
        if part[0] in (404, 503):
            return self.say(part[0], "text/html", "Not now")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b"retry: 10\n\n")
        for step in part:
            if isinstance(step, Event):
                step.wait(10)
            else:
                self.wfile.write(f"{step}\n".encode())

    def say(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args):
        pass


class ReplyElementTests(BrowserTestCase):
    def show(self, *parts, attributes='result="/result"', before="", **statuses):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.parts, server.asked, server.stopped = iter(parts), [], Event()
        server.before = before
        server.loads, server.statuses = [], {f"/{name}": code for name, code in statuses.items()}
        server.page = PAGE.format(attributes=attributes)
        thread = Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.server = server
        page = self.open(f"http://127.0.0.1:{server.server_port}/")
        return page, page.locator("conversation-reply")

    def wait(self, reply, state):
        reply.page.locator(f"conversation-reply[state={state}]").wait_for()

    def gate(self):
        gate = Event()
        self.addCleanup(gate.set)
        return gate

    def test_the_words_appear_and_then_the_reply_as_the_server_renders_it(self):
        gate = self.gate()
        words = [event("text", "It is <b>"), event("text", "bold\n&amp;")]
        page, reply = self.show([*words, gate, event("finished")])
        text = reply.locator("[data-text]")
        page.get_by_text("bold").wait_for()
        assert text.text_content() == "It is <b>bold\n&amp;"
        assert reply.get_attribute("aria-live") == "off"
        page.evaluate(
            "addEventListener('reply-state', (e) => document.title = e.detail.state, true)"
        )
        gate.set()
        self.wait(reply, "finished")
        assert reply.inner_html() == "<p>The <b>rendered</b> reply.</p>"
        assert reply.get_attribute("aria-live") == "polite"
        assert page.title() == "finished"
        assert len(self.server.asked) == 1

    def test_a_connection_that_breaks_goes_on_where_it_was(self):
        first = [event("text", "one ", "1-1"), event("text", "two ", "1-2")]
        gate = self.gate()
        page, reply = self.show(first, [event("text", "three", "1-3"), gate, event("finished")])
        page.get_by_text("three").wait_for()
        assert reply.locator("[data-text]").text_content() == "one two three"
        assert reply.get_attribute("state") == "writing"
        assert self.server.asked == [None, "1-2"]

    def test_an_answer_that_is_no_stream_is_asked_for_again_from_the_beginning(self):
        first, gate = [event("text", "one ", "1-1")], self.gate()
        whole = [event("text", "one ", "1-1"), event("text", "two", "1-2"), gate]
        page, reply = self.show(first, [503], [503], whole)
        self.wait(reply, "offline")
        page.get_by_text("two").wait_for()
        assert reply.locator("[data-text]").text_content() == "one two"
        assert self.server.asked == [None, "1-1", None, None]

    def test_a_deleted_conversation_is_not_asked_for_again(self):
        for status in (404, 410):
            part = [event("text", "one ", "1-1")]
            _, reply = self.show(part, [404], attributes="", stream=status)
            self.wait(reply, "removed")
            assert reply.locator("[data-text]").text_content() == "one "
            assert self.server.asked == [None, "1-1"]

    def test_a_page_is_reloaded_once_for_a_result_that_fails(self):
        part = [event("text", "words"), event("finished")]
        page, reply = self.show(part, part, part, result=500)
        self.wait(reply, "finished")
        assert reply.locator("[data-text]").text_content() == "words"
        assert self.server.loads.count("/") == 2
        assert self.server.loads.count("/result") == 2

    def test_a_result_that_comes_lets_the_page_be_reloaded_again(self):
        part = [event("text", "words"), event("finished")]
        page, reply = self.show(part, part, part, part, result=500)
        self.wait(reply, "finished")
        self.server.statuses.clear()
        page.reload()
        page.get_by_text("rendered").wait_for()
        assert page.evaluate("sessionStorage.length") == 0

    def test_new_text_shortens_the_pause_after_a_dead_worker(self):
        same, gate = [event("text", "The"), event("lost")], self.gate()
        grown = [event("text", "The new"), event("lost")]
        page, _ = self.show(same, same, same, grown, [event("text", "End"), gate], before=QUICK)
        page.get_by_text("End").wait_for()
        assert page.evaluate("pauses") == [1000, 2000, 4000, 1000]

    def test_another_worker_begins_anew(self):
        gate, other = self.gate(), self.gate()
        part = [event("text", "The beginning of"), gate, event("restart")]
        page, reply = self.show([*part, event("text", "Something else"), other])
        page.get_by_text("The beginning").wait_for()
        gate.set()
        page.get_by_text("Something else").wait_for()
        assert reply.locator("[data-text]").text_content() == "Something else"

    def test_a_dead_worker_lets_the_view_be_asked_again(self):
        gate = self.gate()
        page, reply = self.show(
            [event("text", "The"), event("lost"), gate],
            [event("text", "The", "1-1"), event("restart", "", "2-0"), event("text", "New"), gate],
        )
        self.wait(reply, "lost")
        page.get_by_text("New").wait_for()
        assert reply.locator("[data-text]").text_content() == "New"

    def test_without_a_result_the_text_stays(self):
        for outcome in ("finished", "failed", "cancelled"):
            with self.subTest(outcome):
                page, reply = self.show([event("text", "words"), event(outcome)], attributes="")
                self.wait(reply, outcome)
                assert reply.locator("[data-text]").text_content() == "words"
                assert page.get_by_text("A reply is being written.").is_visible()

    def test_stop_stays_on_the_page_and_keeps_the_focus_in_the_reply(self):
        gate = self.gate()
        page, reply = self.show([event("text", "words"), gate, event("cancelled")])
        page.get_by_text("words").wait_for()
        page.get_by_role("button", name="Stop").press("Enter")
        assert self.server.stopped.wait(10)
        gate.set()
        self.wait(reply, "cancelled")
        assert reply.evaluate("e => document.activeElement === e")

    def test_a_page_in_the_back_keeps_no_connection(self):
        gate = self.gate()
        words = [event("text", "words", "1-1"), gate]
        page, reply = self.show(words, words)
        page.get_by_text("words").wait_for()
        hide = "h => {Object.defineProperty(document, 'hidden', {value: h, configurable: true});"
        hide += "document.dispatchEvent(new Event('visibilitychange'))}"
        page.evaluate(hide, True)
        page.evaluate(hide, False)
        page.wait_for_function("document.querySelector('[data-text]').textContent == 'words'")
        assert len(self.server.asked) == 2
        page.evaluate("document.querySelector('conversation-reply').remove()")

    def test_nothing_is_wrong_for_those_who_do_not_see(self):
        gate = self.gate()
        page, reply = self.show([event("text", "words"), gate, event("finished")])
        page.get_by_text("words").wait_for()
        assert not (found := self.violations(page)), found
        gate.set()
        self.wait(reply, "finished")
        assert not (found := self.violations(page)), found
