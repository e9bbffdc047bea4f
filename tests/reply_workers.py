"""Workers of replies that the chaos test kills: python -m tests.reply_workers ENTRY

Each takes questions that are open, answers them word by word, and goes on until it is killed.
"""

import json
import random
import sys
import time
from contextlib import suppress

import django
from django.conf import settings

WORDS = "one two three four five ".split(" ")


def answer(driver, run_id):
    from conversation_memory.exceptions import RedisUnavailable, ReplyError

    try:
        reply = driver.reply(run_id, resume=random.random() < 0.5)
        while len(reply.text.split()) < 5:
            write(reply, f"{WORDS[len(reply.text.split())]} ")
            time.sleep(random.random() * 0.01)
        patiently(reply.finish)
    except (ReplyError, RedisUnavailable):
        return  # another worker has it, or it is claimed again when the lease is over


def write(reply, word):
    from conversation_memory.exceptions import RedisUnavailable

    with suppress(RedisUnavailable):  # the word is kept then, and flushed
        reply.write(word)
    patiently(reply.flush)


def patiently(call):
    """Repeat a call that may be repeated, until Redis answers."""
    from conversation_memory.exceptions import RedisUnavailable

    while True:
        try:
            return call()
        except RedisUnavailable:
            time.sleep(0.01)


def main(entry):
    settings.configure(
        INSTALLED_APPS=["conversation_memory"], REDIS={"default": json.loads(entry)}, USE_TZ=True
    )
    django.setup()
    from conversation_memory import indexes

    index = indexes["default"]
    while True:
        waiting = [run for run in patiently(index.open_runs) if run.state != "claimed"]
        for run in random.sample(waiting, min(3, len(waiting))):
            answer(index.driver(run.conversation_id), run.run_id)
        time.sleep(0.01)


if __name__ == "__main__":
    main(*sys.argv[1:])
