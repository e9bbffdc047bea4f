"""Followers of a reply: in time, late, resumed; as chunks, as server-sent events, over Channels."""

import asyncio
import gc
import json
import threading
import time
import weakref
from contextlib import contextmanager
from unittest import mock

from asgiref.testing import ApplicationCommunicator
from django.core.signals import request_finished
from django.db import close_old_connections
from django.http import Http404
from django.test import AsyncRequestFactory, RequestFactory
from hypothesis import given, settings
from redis import Redis

from conversation_memory import RedisConversationMemoryDriver
from conversation_memory.exceptions import RunNotFound, TooManyFollowers
from conversation_memory.replies import astream_reply, follow, stream_reply
from conversation_memory.replies.open_runs import Chunk, ReplyState, position, write_reason
from conversation_memory.replies.views import _event

from .strategies import texts
from .test_replies import raised
from .utils import RedisTestCase, close_connections, each_layout, wait_for


def told(chunks):
    """Kinds and texts, with adjoining texts as one."""
    parts = []
    for chunk in chunks:
        if parts and chunk.kind == parts[-1][0] == "text":
            parts[-1] = ("text", parts[-1][1] + chunk.text)
        else:
            parts.append((chunk.kind, chunk.text))
    return parts


def until(condition, seconds=10):
    """What the condition returns, once that is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.005)
    return found


@contextmanager
def following(driver, run_id, **options):
    """A list that gets the chunks in a thread, which ends with the block."""
    chunks = []

    def follow():
        for chunk in driver.follow(run_id, **options):
            chunks.append(chunk)

    thread = threading.Thread(target=follow)
    thread.start()
    yield chunks
    thread.join(timeout=10)
    assert not thread.is_alive()


@each_layout
class FollowTests:
    def setUp(self):
        super().setUp()
        self.driver = self.index.driver("c", owner="ann")
        self.driver.begin("Why?", run_id="r")
        self.enterContext(mock.patch.object(follow, "HEARTBEAT", 0.05))

    def readers(self):
        """The clients that wait for a chunk."""
        clients = self.redis.client_list()
        return [it for it in clients if it["cmd"] == "xread" and "b" in it["flags"]]

    def answer(self, *words, **options):
        with self.driver.reply("r", **options) as reply:
            for word in words:
                reply.write(word)
                reply.flush()
        return reply

    def end_of_stream(self):
        """Let the stream and the state be forgotten, as they are after a few minutes."""
        self.redis.delete(f"{{{self.index.name}}}:chunks:1:c:r", f"{{{self.index.name}}}:open:c")

    def test_a_follower_from_before_the_first_chunk_gets_all(self):
        with following(self.driver, "r") as chunks:
            until(self.readers)
            self.answer("a ", "b")
        assert told(chunks) == [("text", "a b"), ("finished", "")]

    def test_a_follower_from_after_the_end_gets_all(self):
        self.answer("a ", "b")
        expected = [("text", "a b"), ("finished", "")]
        assert told(self.driver.follow("r")) == expected

        async def collect():
            return [chunk async for chunk in self.driver.follow("r")]

        assert told(wait_for(collect())) == expected

    def test_a_follower_goes_on_after_any_chunk(self):
        self.answer("a ", "b ", "c")
        chunks = list(self.driver.follow("r"))
        for number, chunk in enumerate(chunks[:-1]):
            assert list(self.driver.follow("r", after=chunk.id)) == chunks[number + 1 :]
        assert told(self.driver.follow("r", after=chunks[-1].id)) == [("finished", "")]

    def test_a_follower_from_after_the_stream_gets_the_run(self):
        self.answer("a ", "b")
        self.end_of_stream()
        assert told(self.driver.follow("r")) == [("text", "a b"), ("finished", "")]
        resumed = told(self.driver.follow("r", after="1-1"))
        assert resumed == [("restart", ""), ("text", "a b"), ("finished", "")]

    def test_a_cancelled_run_is_told_as_such_after_the_stream(self):
        self.driver.reply("r").write("half")
        self.driver.cancel("r")
        expected = [("text", "half"), ("cancelled", "")]
        assert told(self.driver.follow("r")) == expected
        self.end_of_stream()
        assert told(self.driver.follow("r")) == expected

    def test_a_retry_goes_on_behind_the_failure(self):
        reply = self.driver.reply("r")
        reply.write("half")
        reply.fail("Overloaded.")
        chunks = list(self.driver.follow("r"))
        assert told(chunks) == [("text", "half"), ("failed", "Overloaded.")]
        self.answer(" and half", resume=True)
        rest = list(self.driver.follow("r", after=chunks[-1].id))
        assert told(rest) == [("text", " and half"), ("finished", "")]
        assert told(self.driver.follow("r")) == [("text", "half and half"), ("finished", "")]

    def test_a_reply_that_is_begun_anew_tells_its_followers(self):
        reply = self.driver.reply("r")
        reply.write("half")
        reply.fail("Overloaded.")
        [first, _] = self.driver.follow("r")
        self.answer("whole")
        expected = [("restart", ""), ("text", "whole"), ("finished", "")]
        assert told(self.driver.follow("r", after=first.id)) == expected

    def test_another_output_takes_the_place_of_what_was_said(self):
        reply = self.driver.reply("r")
        reply.write("draft")
        reply.finish("final")
        expected = [("text", "draft"), ("restart", ""), ("text", "final"), ("finished", "")]
        assert told(self.driver.follow("r")) == expected

    def test_a_follower_learns_that_the_worker_is_lost(self):
        self.driver._layout.reply_lease = 100
        reply = self.driver.reply("r")
        reply.write("half")
        reply.flush()
        with following(self.driver, "r") as chunks:
            until(lambda: any(chunk.kind == "lost" for chunk in chunks))
            self.answer(" and half", resume=True)
        kinds = [chunk.kind for chunk in chunks]
        assert kinds == ["text", "lost", "text", "finished"]

    def test_the_last_of_several_outcomes_counts(self):
        for outcome, settle in (
            ("cancelled", self.driver.cancel),
            ("removed", self.driver.discard),
        ):
            self.driver.begin("Why?", run_id=outcome)
            reply = self.driver.reply(outcome)
            reply.write("half")
            reply.fail("bad")
            assert settle(outcome)
            assert told(self.driver.follow(outcome))[-1] == (outcome, "")

    def test_a_failure_is_over_when_a_worker_goes_on(self):
        reply = self.driver.reply("r")
        reply.write("half")
        reply.fail("bad")
        again = self.driver.reply("r", resume=True)
        with following(self.driver, "r") as chunks:
            until(self.readers)
            again.write(" and half")
            again.finish()
        assert told(chunks) == [("text", "half and half"), ("finished", "")]

    def test_a_late_follower_of_a_lost_reply_gets_its_text_first(self):
        self.driver._layout.reply_lease = 1
        reply = self.driver.reply("r")
        reply.write("half")
        reply.flush()
        time.sleep(0.01)
        chunks = iter(self.driver.follow("r"))
        assert [next(chunks).kind, next(chunks).kind] == ["text", "lost"]

    def test_a_run_that_was_answered_long_ago_is_not_begun_again(self):
        self.answer("so")
        self.end_of_stream()
        self.driver.begin("Why?", run_id="r")
        assert self.driver.open_runs() == []

    def test_a_follower_ends_when_the_conversation_is_deleted(self):
        with following(self.driver, "r") as chunks:
            until(self.readers)
            self.driver.delete()
        assert told(chunks) == [("removed", "")]
        assert raised(RunNotFound, list, self.driver.follow("r"))

    def test_an_unknown_run_is_not_found(self):
        assert raised(RunNotFound, list, self.driver.follow("other"))
        assert raised(RunNotFound, list, self.index.driver("c", owner="bob").follow("r"))
        assert raised(ValueError, self.driver.follow, "r", after="1-1 BLOCK 0")

    def test_a_hundred_followers_of_one_reply_share_a_read(self):
        async def collect():
            return [chunk async for chunk in self.driver.follow("r")]

        async def run():
            followers = [asyncio.create_task(collect()) for _ in range(100)]
            while self.index._connection._followers < 100:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            followers[0].cancel()
            async with await self.driver.areply("r") as reply:
                for number in range(50):
                    await reply.awrite(f"{number} ")
            found = await asyncio.gather(*followers[1:])
            assert self.index._connection.reads == {}
            pool = self.index._connection.async_follower.connection_pool
            made = [*pool._in_use_connections, *pool._available_connections]
            assert 1 <= len(made) <= 20  # those who are not as far as the others read alone
            await close_connections()
            return found

        expected = [("text", "".join(f"{n} " for n in range(50))), ("finished", "")]
        assert all(told(chunks) == expected for chunks in asyncio.run(run()))
        assert self.index._connection._followers == 0

    def test_the_read_of_followers_that_went_away_ends(self):
        async def run():
            follower = asyncio.create_task(anext(aiter(self.driver.follow("r"))))
            reads = self.index._connection.reads
            await asyncio.to_thread(until, lambda: reads)
            [read] = reads.values()
            follower.cancel()
            await asyncio.wait([follower, read._task])
            assert self.index._connection.reads == {}
            await close_connections()

        with mock.patch.object(follow, "HEARTBEAT", 5):
            asyncio.run(run())
        assert self.index._connection._followers == 0

    def test_more_followers_than_allowed_are_refused(self):
        self.driver._layout.max_followers = 1
        first = self.driver.follow("r").with_pauses()
        assert next(first) is None
        error = raised(TooManyFollowers, list, self.driver.follow("r"))
        assert "MAX_FOLLOWERS" in str(error)
        assert raised(TooManyFollowers, stream_reply, RequestFactory().get("/"), self.driver, "r")
        first.close()
        self.answer("so")
        assert told(self.driver.follow("r")) == [("text", "so"), ("finished", "")]

    def test_a_lent_client_is_followed_too(self):
        driver = RedisConversationMemoryDriver(
            host="", port=0, index=self.index.name, conversation_id="c", client=self.redis
        )
        self.answer("so")
        assert told(driver.follow("r")) == [("text", "so"), ("finished", "")]
        driver._connection.follower.close()

    def test_drivers_with_one_lent_client_count_their_followers_together(self):
        address = self.redis.connection_pool.connection_kwargs
        client = Redis(address["host"], address["port"], address["db"])
        lent = [
            RedisConversationMemoryDriver(
                host="", port=0, index=self.index.name, conversation_id="c", client=client
            )
            for _ in range(2)
        ]
        for driver in lent:
            driver._layout.max_followers = 1
        first = lent[0].follow("r").with_pauses()
        assert next(first) is None
        raised(TooManyFollowers, list, lent[1].follow("r"))
        first.close()
        self.answer("so")
        assert told(lent[1].follow("r")) == [("text", "so"), ("finished", "")]
        assert lent[0]._connection.follower is lent[1]._connection.follower
        lent[0]._connection.follower.close()
        client.close()
        pool = weakref.ref(client.connection_pool)
        del client, driver, lent, first
        gc.collect()
        assert pool() is None

    def test_a_server_that_is_gone_for_a_moment_is_asked_again(self):
        with following(self.driver, "r") as chunks:
            for client in until(self.readers):
                self.redis.client_kill_filter(_id=client["id"])
            self.answer("so")
        assert told(chunks) == [("text", "so"), ("finished", "")]


@each_layout
class StreamTests:
    def setUp(self):
        super().setUp()
        self.driver = self.index.driver("c", owner="ann")
        self.driver.begin("Why?", run_id="r")
        with self.driver.reply("r") as reply:
            reply.write('a\n\nevent: finished\n"<b>')
            reply.flush()
            reply.write("b")

    def events(self, body):
        """Name, id and text of each event."""
        found = []
        for block in body.decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
            if "data" in lines:
                found.append((lines["event"], lines.get("id"), json.loads(lines["data"])["text"]))
        return found

    def test_events_over_wsgi(self):
        response = stream_reply(RequestFactory().get("/"), self.driver, "r")
        assert response["Content-Type"].startswith("text/event-stream")
        assert (response["Cache-Control"], response["X-Accel-Buffering"]) == ("no-store", "no")
        events = self.events(b"".join(response.streaming_content))
        text = 'a\n\nevent: finished\n"<b>'
        assert events == [
            ("text", "1-1", text),
            ("text", "1-2", "b"),
            ("finished", events[-1][1], ""),
        ]

    def test_events_over_asgi_go_on_after_the_last_one(self):
        async def body(**options):
            request = AsyncRequestFactory().get("/", **options)
            response = await astream_reply(request, self.driver, "r")
            return self.events(b"".join([part async for part in response.streaming_content]))

        everything = wait_for(body())
        assert [event[0] for event in everything] == ["text", "text", "finished"]
        assert wait_for(body(headers={"Last-Event-ID": "1-1"})) == everything[1:]
        assert wait_for(body(headers={"Last-Event-ID": "1-1\nx"})) == everything
        assert wait_for(body(data={"Last-Event-ID": "1-2"})) == everything[2:]

    def test_a_foreign_reply_is_not_found(self):
        other = self.index.driver("c", owner="bob")
        assert raised(Http404, stream_reply, RequestFactory().get("/"), other, "r")

        async def missing():
            try:
                await astream_reply(AsyncRequestFactory().get("/"), other, "r")
            except Http404:
                return True

        async def lazily():
            response = stream_reply(AsyncRequestFactory().get("/"), other, "r")
            return self.events(b"".join([part async for part in response.streaming_content]))

        assert wait_for(missing())
        assert wait_for(lazily()) == [("removed", None, "")]

    def test_a_pause_is_a_comment(self):
        # As the test client of Django does: a database may be open from the test before.
        request_finished.disconnect(close_old_connections)
        self.addCleanup(request_finished.connect, close_old_connections)
        self.driver.begin("And?", run_id="open")
        with mock.patch.object(follow, "HEARTBEAT", 0.01):
            response = stream_reply(RequestFactory().get("/"), self.driver, "open")
            parts = iter(response)
            assert [next(parts), next(parts)] == [b"retry: 1000\n\n", b": still there\n\n"]
            response.close()
        assert self.index._connection._followers == 0

    def test_a_reply_over_channels(self):
        try:
            from channels.generic.websocket import AsyncJsonWebsocketConsumer
        except ImportError:
            self.skipTest("channels is not installed")
        driver = self.driver

        class Consumer(AsyncJsonWebsocketConsumer):
            async def receive_json(self, content):
                async for chunk in driver.follow(content["run"], after=content.get("after")):
                    await self.send_json({"kind": chunk.kind, "text": chunk.text})

        async def talk():
            socket = ApplicationCommunicator(Consumer.as_asgi(), {"type": "websocket"})
            await socket.send_input({"type": "websocket.connect"})
            assert (await socket.receive_output())["type"] == "websocket.accept"
            asked = json.dumps({"run": "r", "after": "1-1"})
            await socket.send_input({"type": "websocket.receive", "text": asked})
            sent = [await socket.receive_output() for _ in range(2)]
            await socket.send_input({"type": "websocket.disconnect", "code": 1000})
            await socket.wait()
            return [json.loads(message["text"]) for message in sent]

        assert wait_for(talk()) == [
            {"kind": "text", "text": "b"},
            {"kind": "finished", "text": ""},
        ]


class ValueTests(RedisTestCase):
    @given(texts)
    def test_an_event_is_one_line_of_json_for_any_text(self, text):
        lines = _event(Chunk("1-1", "text", text)).decode().split("\n")
        assert lines[0] == "id: 1-1" and lines[-2:] == ["", ""] and len(lines) == 5
        assert json.loads(lines[2].removeprefix("data: ")) == {"text": text}

    @given(texts)
    def test_a_state_keeps_any_reason(self, text):
        raw = b"failed 1 2 3 4 - " + write_reason(text)
        assert ReplyState.read(raw).reason == text
        assert ReplyState.read(text.encode("utf-8", "surrogatepass")) is None

    @given(texts)
    def test_the_id_of_a_chunk_is_two_numbers(self, text):
        try:
            position(text)
        except ValueError:
            return
        assert text.replace("-", "", 1).isdigit()

    @settings(max_examples=25)
    @given(texts, texts)
    def test_the_name_of_a_reply_tells_both_ids(self, id, run_id):
        keys = self.index._layout.keys
        id, run_id = (name.encode("utf-8", "replace") for name in (id, run_id))
        assert keys.read_reply(keys.reply(id, run_id)) == (id, run_id)
