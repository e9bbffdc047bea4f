"""A workload with words that no telemetry may have; tests/test_telemetry.py runs it."""

import asyncio
import uuid
from contextlib import suppress

from django.conf import settings
from django.test import override_settings

from conversation_memory import Run, indexes
from conversation_memory.exceptions import ConversationMemoryError

from .embedders import DIMENSIONS
from .utils import Awaited, close_connections

# In inputs, outputs, titles, metadata, replies, queries and errors; then in the names of owners.
WORD, OWNER = "secretword", "owner-of-it"
ID = "the-conversation"


def workload():
    """Do everything once in each layout and over each protocol, sync and async."""
    for layout, protocol in (("hash", 2), ("list", 3)):
        entry = {
            "URL": settings.REDIS_URL,
            "INDEX": f"observed-{uuid.uuid4().hex}",
            "LAYOUT": layout,
            "SEARCH": {"EMBED": "tests.embedders.embed", "DIMENSIONS": DIMENSIONS},
            "OPTIONS": {"protocol": protocol},
        }
        with override_settings(REDIS={"default": entry}):
            index = indexes["default"]
            write_and_read(index)
            with asyncio.Runner() as runner:
                write_and_read(Awaited(index, runner.run))
                runner.run(close_connections())


def write_and_read(index):
    driver = index.driver(ID, owner=OWNER)
    driver.append(Run(f"{WORD} and dogs", f"a {WORD} too"), Run(WORD, "dogs"))
    driver.update_metadata({"note": WORD, WORD: 1})
    driver.set_title(f"About {WORD}")
    driver.append_messages(
        [{"role": "user", "content": WORD}, {"role": "assistant", "content": WORD}]
    )
    driver.messages()
    talk(driver)
    index.embed()
    assert index.search(WORD).hits and index.search(like=f"{WORD} and dogs").hits
    index.search(f'"{WORD}" -{WORD}s')
    assert index.search("secretwrd").suggestions == [WORD]
    index.titled(WORD)
    index.activity("day", WORD)
    assert driver.recall(WORD, k=1)
    assert driver.load()[0] and len(index.recent(10)) == 1 and list(index) == [ID]
    fail(index, driver)
    index.erase(owner=OWNER)


def talk(driver):
    begun = driver.begin(f"{WORD}?")
    reply = driver.reply(begun.run_id)
    if isinstance(driver, Awaited):
        reply = Awaited(reply, driver.run)
    reply.write(f"The answer is {WORD}.")
    reply.finish()
    assert list(driver.follow(begun.run_id))


def failures(index, driver):
    """Calls that fail. Their callers have no text in their own variables."""
    if isinstance(driver, Awaited):
        run, it, all = driver.run, driver.subject, index.subject
        return (
            lambda: run(all.driver(ID, owner="another").aappend(Run(WORD, WORD))),
            lambda: run(it.astore([Run(WORD, WORD)], {"a": WORD}, revision="1-0")),
            lambda: run(it.aedit(Run(WORD, WORD, id="none"))),
            lambda: run(it.awindow(count=quoting, max_tokens=1)),
            lambda: run(all.asearch(WORD, where={"a": WORD})),
        )
    return (
        lambda: index.driver(ID, owner="another").append(Run(WORD, WORD)),
        lambda: driver.store([Run(WORD, WORD)], {"a": WORD}, revision="1-0"),
        lambda: driver.edit(Run(WORD, WORD, id="none")),
        lambda: driver.window(count=quoting, max_tokens=1),
        lambda: index.search(WORD, where={"a": WORD}),
    )


def quoting(run):
    assert run.input.text
    raise ValueError("no number")


def fail(index, driver):
    for call in failures(index, driver):
        with suppress(ConversationMemoryError, ValueError):
            call()


def assert_silent(exported, *words):
    """Nothing that was exported has a word of the conversation, or one of `words`."""
    assert exported
    for text in exported:
        for word in (WORD, "secretw", *words):
            place = text.find(word)
            assert place < 0, text[max(0, place - 900) : place + 200]
