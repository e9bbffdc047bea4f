"""Pages of the admin: the list of conversations of a large index beside that of a small one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import redis
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client, override_settings

from conversation_memory import Run, indexes
from conversation_memory.admin.addresses import Address

from .driver import run_dict
from .measure import interleaved, server_time, table

SMALL, LARGE = 1_000, 1_000_000
STEP = 5_000
COPY = """
local tag, newest = ARGV[1], redis.call('TIME')[1] * 1000
for number = ARGV[2], ARGV[3] - 1 do
  local id = 'conversation-' .. string.format('%d', number)
  redis.call('HSET', KEYS[1], id, ARGV[5])
  redis.call('HSET', tag .. ':record:' .. id, unpack(ARGV, 6))
  redis.call('ZADD', tag .. ':recent', newest - number, id)
  if number < tonumber(ARGV[4]) then
    redis.call('ZADD', tag .. ':owner:7', newest - number, id)
  end
end
"""
COLUMNS = ("page", f"of {SMALL:,}", f"of {LARGE:,}", "ratio", "target")


def main() -> None:
    url = indexes["default"].settings.url
    call_command("migrate", verbosity=0)
    bare = redis.Redis.from_url(url)
    sizes = {"small": SMALL, "large": LARGE}
    entries = {name: {"URL": url, "INDEX": f"admin-{name}"} for name in sizes}
    with override_settings(REDIS=entries):
        try:
            for name, size in sizes.items():
                populate(indexes[name], bare, size)
            pages(bare)
        finally:
            for keys in found(bare):
                bare.unlink(*keys)
            bare.close()


def pages(bare) -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root"))
    queries = {
        "list": {},
        "list, last page of the small one": {"p": SMALL // 100},
        "list, owner": {"owner": "7"},
        "list, last 24 hours": {"age": "day"},
        "list, oldest first": {"o": "2"},
        "list by size, of 10,000": {"o": "-7"},
        "list of those with an error, of 10,000": {"state": "error"},
        "search of ids and titles, of 10,000": {"q": "nothing"},
    }

    def get(name: str, query: dict[str, object]) -> None:
        key = str(Address(name, indexes[name].name))
        page = client.get("/office/conversation_memory/conversation/", {"index": key, **query})
        assert page.status_code == 200, page

    calls = {
        (title, name): lambda name=name, query=query: get(name, query)
        for title, query in queries.items()
        for name in ("small", "large")
    }
    times = interleaved(calls, 15)
    rows = [row(title, times) for title in queries]
    table("Pages of 100 conversations in the admin: medians in milliseconds", COLUMNS, rows)
    spent = [server_time(bare, calls["list", name], 10) for name in ("small", "large")]
    print(f"\nServer time of a list page: {spent[0]:,.0f} and {spent[1]:,.0f} microseconds")
    key = Address("large", indexes["large"].name)
    usage = f"/office/conversation_memory/conversation/usage/{key}/"
    survey = interleaved({"": lambda: client.get(usage)}, 5)
    print(f"The page of usage, of 10,000 conversations: {survey[''] / 1000:,.0f} milliseconds")
    overview = interleaved({"": lambda: client.get("/office/conversation_memory/index/")}, 5)
    print(f"The page of both indexes: {overview[''] / 1000:,.0f} milliseconds")


def row(title: str, times: dict[tuple[str, str], float]) -> tuple[str, ...]:
    small, large = times[title, "small"] / 1000, times[title, "large"] / 1000
    target = "1.5" if title == "list" else ""
    return (title, f"{small:,.0f}", f"{large:,.0f}", f"{large / small:.2f}", target)


def populate(index, bare, size: int) -> None:
    """Conversations of about 1 kB in the stored form, copied from one that the driver wrote."""
    index.driver("one", owner="7").append(Run.from_dict(run_dict(0)))
    tag = f"{{{index.name}}}"
    field, record = bare.hget(index.name, "one"), bare.hgetall(f"{tag}:record:one")
    index.delete("one")
    copy = bare.register_script(COPY)
    for start in range(0, size, STEP):
        end = min(size, start + STEP)
        copy([index.name], [tag, start, end, SMALL, field, *chain(*record.items())])


def found(bare) -> Iterator[list[bytes]]:
    keys: list[bytes] = []
    for pattern in ("{admin-*", "admin-*"):
        for key in bare.scan_iter(pattern, count=10_000):
            keys.append(key)
            if len(keys) == 10_000:
                yield keys
                keys = []
    if keys:
        yield keys
