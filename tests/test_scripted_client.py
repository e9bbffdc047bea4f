"""A model that answers from a script: the shapes of OpenAI's client, sync and async."""

import asyncio
import json
from threading import Event
from unittest import mock

import pytest
from django.test import SimpleTestCase

from conversation_memory.testing import (
    AsyncScriptedClient,
    IndexTestMixin,
    ScriptedCall,
    ScriptedClient,
    scripted_client,
)

ASKED = [{"role": "user", "content": "Is it warm?"}]
CALL = ScriptedCall("weather", {"city": "Lisbon"})


def ask(client, **options):
    return client.chat.completions.create(model="m", messages=ASKED, **options)


def both_ways(*script, **options):
    """What the sync and the async client stream, which is the same."""
    chunks = [*ask(ScriptedClient(*script), stream=True, **options)]

    async def stream():
        made = await ask(AsyncScriptedClient(*script), stream=True, **options)
        return [chunk async for chunk in made]

    assert chunks == asyncio.run(stream())
    return chunks


class ShapeTests(SimpleTestCase):
    def test_a_text_is_an_answer_and_is_streamed_word_by_word(self):
        said = ask(ScriptedClient("It is  warm.\n\nYes."))
        assert said.choices[0].message.content == "It is  warm.\n\nYes."
        assert said.choices[0].message.tool_calls is None
        chunks = both_ways("It is  warm.\n\nYes.")
        words = [chunk.choices[0].delta.content for chunk in chunks]
        assert words == ["It ", "is ", " warm.\n", "\nYes.", None]
        assert [it.choices[0].finish_reason for it in chunks][-2:] == [None, "stop"]

    def test_a_tool_call_has_an_id_of_its_own_and_json_in_two_pieces(self):
        [choice] = ask(ScriptedClient(["Wait. ", CALL, CALL])).choices
        first, second = choice.message.tool_calls
        assert (choice.message.content, choice.finish_reason) == ("Wait. ", "tool_calls")
        assert (first.id, second.id) == ("call-1", "call-2")
        assert json.loads(second.function.arguments) == {"city": "Lisbon"}
        pieces = [it.choices[0].delta.tool_calls for it in both_ways([CALL, CALL])]
        deltas = [piece[0] for piece in pieces if piece]
        assert [delta.index for delta in deltas] == [0, 0, 1, 1]
        text = "".join(delta.function.arguments for delta in deltas[:2])
        assert json.loads(text) == {"city": "Lisbon"}

    def test_usage_comes_where_it_is_asked_for(self):
        *_, last = both_ways("one two", stream_options={"include_usage": True})
        assert (last.choices, last.usage.completion_tokens) == ([], 2)
        usage = ask(ScriptedClient("one two")).usage
        assert usage.total_tokens == usage.prompt_tokens + 2

    def test_the_objects_are_those_of_the_client(self):
        types = pytest.importorskip("openai.types.chat")
        for answer in ("Yes.", [CALL, "and ", CALL]):
            types.ChatCompletion.model_validate(ask(ScriptedClient(answer)).model_dump())
            for chunk in both_ways(answer, stream_options={"include_usage": True}):
                types.ChatCompletionChunk.model_validate(chunk.model_dump())

    def test_the_requests_are_kept_as_they_were(self):
        client, messages = ScriptedClient("a", lambda asked: asked[-1]["content"]), [*ASKED]
        client.chat.completions.create(model="m", messages=messages, tools=[1])
        messages.append({"role": "user", "content": "Echo"})
        said = client.chat.completions.create(model="m", messages=messages)
        assert said.choices[0].message.content == "Echo"
        assert client.requests[0] == {"model": "m", "messages": ASKED, "tools": [1]}
        assert client.left == 0

    def test_a_script_that_is_over_says_so(self):
        with pytest.raises(AssertionError, match="The script has no answer number 1."):
            ask(ScriptedClient())
        with pytest.raises(AssertionError, match="7 cannot be a part of an answer"):
            ask(ScriptedClient([7]))


class FailureTests(SimpleTestCase):
    def test_an_exception_comes_where_it_stands(self):
        client = ScriptedClient(TimeoutError("late"), ["Well, ", OSError("cut")])
        with pytest.raises(TimeoutError):
            ask(client)
        stream = ask(client, stream=True)
        assert next(stream).choices[0].delta.content == "Well, "
        with pytest.raises(OSError, match="cut"):
            next(stream)

    def test_a_stream_is_ended_early(self):
        with ask(ScriptedClient("a b"), stream=True) as stream:
            next(stream)
        assert [*stream] == []

    def test_a_pause_lasts_until_the_test_says_so(self):
        event = Event()
        stream = ask(ScriptedClient(["one ", event, "two"]), stream=True)
        next(stream)
        event.set()
        assert next(stream).choices[0].delta.content == "two"

    def test_an_async_pause_takes_events_of_both_kinds(self):
        async def stream(event):
            client = AsyncScriptedClient(["one ", event, "two"])
            async with await ask(client, stream=True) as made:
                await anext(made)
                waiting = asyncio.ensure_future(anext(made))
                await asyncio.sleep(0)
                assert not waiting.done()
                event.set()
                return (await waiting).choices[0].delta.content

        assert asyncio.run(stream(Event())) == "two"

        async def native():
            return await stream(asyncio.Event())

        assert asyncio.run(native()) == "two"

    def test_a_forgotten_event_is_named(self):
        async def wait(event):
            await ask(AsyncScriptedClient([event]))

        with mock.patch.object(scripted_client, "PATIENCE", 0.001):
            for call in (
                lambda: ask(ScriptedClient([Event()])),
                lambda: asyncio.run(wait(Event())),
                lambda: asyncio.run(wait(asyncio.Event())),
            ):
                with pytest.raises(AssertionError, match="did not set the event of the script"):
                    call()


class StoredTests(IndexTestMixin, SimpleTestCase):
    def test_what_it_says_can_be_stored(self):
        client, driver = ScriptedClient(CALL, "Yes."), self.index.driver("c")
        call = ask(client).choices[0].message
        content = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "24 °C"}
        said = ask(client).choices[0].message
        driver.append_messages([*ASKED, call, content, said])
        [run] = driver.load()[0]
        assert run.output.text == "Yes."
        assert [one["role"] for one in driver.messages()][1:] == ["assistant", "tool", "assistant"]
        assert driver.messages()[-1] == {"role": "assistant", "content": "Yes."}
