"""Calls beside garbage of every kind: they raise our errors only, and break nobody else."""

import asyncio
import os
import random
from io import StringIO
from unittest import mock

from django.core.management import CommandError, call_command
from django.test import TestCase

from conversation_memory import Run
from conversation_memory.archive import Dump, OwnerExport
from conversation_memory.browse import Span
from conversation_memory.collection.selection import Selection
from conversation_memory.exceptions import ConversationMemoryError
from conversation_memory.messages.formats import FORMATS
from conversation_memory.replies import follow

from .admin import AdminMixin, AdminTestCase
from .servers import ServerTestCase
from .test_damage import BROKEN, GARBAGE, put_key
from .utils import Awaited, close_connections, each_layout

STEPS = int(os.environ.get("GARBAGE_STEPS", 100))
EXCHANGE = [{"role": "user", "content": "word"}, {"role": "assistant", "content": "fine"}]
KINDS = ("string", "hash", "list", "set", "zset", "stream")
FIELDS = (
    *("version", "expires", "bytes", "runs", "ttl", "created", "updated", "ids", "owner"),
    *("layout", "length", "crc", "end"),
    *("title", "token", "tag", "facets", "indexed"),
)
VALUES = [
    *BROKEN.values(),
    *(value.encode("latin-1") for value in GARBAGE),
    b'{"runs": 1}',
    b'{"runs": [1], "metadata": {}}',
    b'{"runs": [], "metadata": []}',
    b'{"runs": [], "metadata": {}}',
    b'{"runs": [{"type": "Run", "id": [], "input": 1, "output": [[]], "meta": 7}]}',
    b'{"runs": [{"id": {"a": 1}, "input": {"type": 3, "value": {}}}], "metadata": null}',
    b'{"runs": [{"meta": %b1%b}], "metadata": {"a": %b%b}}'
    % (b"[" * 900, b"]" * 900, b"[" * 900, b"]" * 900),
    b'{"type": "Run", "id": "1", "meta": {"topic": %b%b}}' % (b"[" * 900, b"]" * 900),
    b'{"runs": [{"id": "1", "input": {"type": "TextArtifact", "value": %b%b}}]}'
    % (b"[" * 900, b"]" * 900),
    b'{"runs": [], "metadata": {}, "x": %b}' % (b"9" * 5000),
    '{"runs": [{"id": "\ud800"}]}'.encode("utf-8", "surrogatepass"),
    "{}".encode("utf-16"),
]


class Vandal:
    """Writes garbage of every kind around the conversation `bad`."""

    def __init__(self, redis, index, chance):
        self.redis, self.index, self.chance = redis, index.name, chance
        self.root = f"{{{index.name}}}:"

    def strike(self):
        """Returns what was done."""
        deeds = [self.field, self.record, self.element, self.key, self.document, self.reply]
        deed = self.chance.choice(deeds)
        return deed.__name__, deed()

    def field(self):
        value = self.chance.choice(VALUES)
        self.redis.hset(self.index, "bad", value)
        return value[:60]

    def record(self):
        key, name = f"{self.root}record:bad", self.chance.choice(FIELDS)
        value = self.chance.choice([*VALUES, b"list-28-9c3a4a4c", b"28-9c3a4a4c-10-0"])
        if self.redis.type(key) in (b"hash", b"none"):
            self.redis.hset(key, name, value)
        return name, value[:60]

    def element(self):
        key, value = f"{self.root}runs:bad", self.chance.choice(VALUES)
        if self.redis.type(key) in (b"list", b"none"):
            self.redis.rpush(key, value)
            if self.chance.random() < 0.5:
                self.redis.lset(key, 0, value)
        return value[:60]

    def key(self):
        family, kind = (
            self.chance.choice(["record", "runs", "aside", "open"]),
            self.chance.choice(KINDS),
        )
        put_key(self.redis, f"{self.root}{family}:bad", kind)
        return family, kind

    def reply(self):
        open, chunks = f"{self.root}open:bad", f"{self.root}chunks:3:bad:a"
        states = [b"claimed 1 2 3 4 - x", b"failed 1 1 1 1 - " + VALUES[0]]
        value = self.chance.choice([*VALUES, *states])
        if self.redis.type(open) in (b"hash", b"none"):
            self.redis.hset(open, self.chance.choice(["state:a", "question:a", "a"]), value)
        if self.redis.type(chunks) in (b"stream", b"none"):
            self.redis.xadd(chunks, {self.chance.choice(["t", "k", "x"]): value})
        if self.chance.random() < 0.2:
            put_key(self.redis, chunks, self.chance.choice(KINDS))
        self.redis.zadd(f"{self.root}opened", {self.chance.choice(["3:bad:a", b"\xff", "9:x"]): 1})
        return value[:60]

    def document(self):
        bad = self.redis.hget(f"{self.root}record:good", "token") or b""
        names = [
            name
            for name in self.redis.scan_iter(f"{self.root}*", count=1000)
            if name.startswith((f"{self.root}run:".encode(), f"{self.root}documents:".encode()))
            and bad not in name
        ]
        if not names:
            return None
        name = self.chance.choice(names)
        if self.chance.random() < 0.3:
            put_key(self.redis, name, self.chance.choice(KINDS))
        elif self.redis.type(name) == b"hash":
            field = self.chance.choice(["run", "w", "t", "c", "o", "v", "t_topic"])
            self.redis.hset(name, field, self.chance.choice(VALUES))
        return name


def calls(index, chance):
    """Every method, with right arguments: name -> a call."""
    owner, limit = chance.choice([None, 1, 2]), chance.choice([1, 3, 50, 2**70])
    driver = index.driver("bad", owner=owner)
    run = Run("word", "", id=chance.choice("12ab"))
    span = Span(owner=chance.choice([None, b"1"]))
    selection = Selection(ids=["bad"])
    return {
        "load": lambda: [[run.input.text, run.output.text, run.meta] for run in driver.load()[0]],
        "read": driver.read,
        "tail": lambda: driver.tail(limit),
        "page": lambda: driver.page(before=chance.choice([None, 2, 2**70]), limit=limit),
        "excerpt": lambda: driver.excerpt(limit=limit),
        "raw": driver.raw,
        "find": lambda: driver.find(lambda run: False, limit=limit),
        "window": lambda: driver.window(max_runs=limit, max_tokens=100),
        "store": lambda: driver.store([run], {"topic": "a"}),
        "store again": lambda: driver.store(driver.load()[0], {"topic": "b"}),
        "append": lambda: driver.append(run),
        "append two": lambda: driver.append(Run("q" * 40_000, "a"), run),
        "edit": lambda: driver.edit(run),
        "remove": lambda: driver.remove(run.id),
        "truncate": lambda: driver.truncate(after=run.id),
        "fork": lambda: driver.fork("copy"),
        "rename": lambda: driver.rename("renamed"),
        "rename back": lambda: index.driver("renamed").rename("bad"),
        "rename over": lambda: index.driver("copy").rename("bad"),
        "move_to": lambda: driver.move_to(chance.choice([None, 1, 2])),
        "expire": lambda: driver.expire(1000),
        "persist": driver.persist,
        "metadata": lambda: driver.update_metadata({"topic": "c"}),
        "record": driver.record,
        "title": lambda: driver.set_title("title"),
        "exists": driver.exists,
        "delete": driver.delete,
        "count": lambda: [index.count(), index.count(1)],
        "recent": lambda: [index.recent(limit), index.recent(limit, owner=1)],
        "titled": lambda: [index.titled("title"), index.titled("title", owner=1)],
        "inspect": lambda: index.inspect("bad"),
        "index.raw": lambda: index.raw("bad"),
        "adopt": index.adopt,
        "index.delete": lambda: index.delete("bad", "copy"),
        "prune": lambda: index.prune(selection, dry_run=chance.random() < 0.5),
        "reap": index.reap,
        "messages": lambda: driver.messages(format=chance.choice([*FORMATS])),
        "append_messages": lambda: driver.append_messages(EXCHANGE, ids=[chance.choice("abc")]),
        "begin": lambda: driver.begin("q", run_id=chance.choice("abc")),
        "reply": lambda: driver.reply(chance.choice("abc")).write("a"),
        "follow": lambda: [*zip(driver.follow("a").with_pauses(), "ab", strict=False)],
        "cancel": lambda: driver.cancel("a"),
        "fail": lambda: driver.fail("b", "Stopped."),
        "discard": lambda: driver.discard("c"),
        "open_runs": driver.open_runs,
        "index.open_runs": index.open_runs,
        "fail_abandoned": index.fail_abandoned,
        "erase": lambda: index.erase(owner=2, dry_run=chance.random() < 0.5),
        "anonymise": lambda: index.anonymise(owner=2),
        "convert": lambda: index.convert(failure=bool),
        "check": lambda: index.check(fix=chance.random() < 0.5),
        "iterate": lambda: [*index],
        "search": lambda: [hit.snippet_html for hit in index.search("word")],
        "search all": lambda: [[hit.time, hit.run_id, hit.title] for hit in index.search()],
        "search one": lambda: index.search("word", conversation="bad", owner=owner),
        "facets": lambda: index.facets("topic"),
        "activity": index.activity,
        "reindex": lambda: index.reindex(failure=bool),
        "extent": lambda: index.extent(span),
        "browse": lambda: index.browse(span, 0, limit),
        "glance": lambda: index.glance("bad", "good", "copy"),
        "named": lambda: index.find_named("a", span),
        "unreadable": lambda: index.find_unreadable(span),
        "with run": lambda: index.find_with_run(lambda summary, run: bool(run.meta), span),
        "sorted": lambda: index.find_sorted(lambda summary: summary.bytes, span),
        "statistics": lambda: index.statistics([0, 2**45]),
        "dump": lambda: b"".join(Dump(getattr(index, "subject", index))),
        "export": lambda: b"".join(OwnerExport(getattr(index, "subject", index), owner or 2)),
    }


class GarbageTests:
    entry = {"SEARCH": {"FIELDS": {"topic": "tag"}}}

    def test_every_call_raises_our_errors_or_none_and_breaks_nobody(self):
        seed = random.randrange(2**32)
        chance = random.Random(seed)
        self.enterContext(mock.patch.object(follow, "HEARTBEAT", 0.01))
        with asyncio.Runner() as runner:
            subjects = [self.index, Awaited(self.index, runner.run)]
            try:
                self.index.driver("good", owner=1).append(Run("word", "fine", id="g"))
                for step in range(STEPS):
                    with self.subTest(seed=seed, step=step):
                        self.act(chance, chance.choice(subjects))
            finally:
                runner.run(close_connections())

    def act(self, chance, index):
        vandal = Vandal(self.redis, self.index, chance)
        if not self.index.settings.search or chance.random() < 0.3:
            self.redis.delete(*[key for key in self.keys() if b":bad" in key] or ["none"])
            self.index.delete("bad", "copy", "renamed")
        deeds = []
        if chance.random() < 0.7:
            try:
                index.driver("bad", owner=chance.choice([None, 1, 2])).append(
                    Run("word", "", id="1")
                )
            except ConversationMemoryError as error:
                deeds.append(error)
        deeds += [vandal.strike() for _ in range(chance.randint(1, 3))]
        chosen = chance.sample(sorted(calls(index, chance)), 4)
        for name in chosen:
            try:
                calls(index, chance)[name]()
            except ConversationMemoryError as error:
                assert "answered with an error" not in str(error), (
                    deeds,
                    name,
                    error,
                    str(error.__cause__),
                )
                assert "where this index should be" not in str(error), (deeds, name, error)
            except ValueError as error:  # what others stored deeper is not written again
                assert "levels deep" in str(error), (deeds, chosen, name)
            except Exception as error:
                raise AssertionError((deeds, chosen, name, type(error))) from error
        self.assert_neighbour_is_well((deeds, chosen))

    def assert_neighbour_is_well(self, deeds):
        driver = self.index.driver("good")
        assert [run.output.text for run in driver.load()[0]] == ["fine"], deeds
        assert "good" in {it.conversation_id for it in self.index.recent()}, deeds
        assert "good" in {hit.conversation_id for hit in self.index.search("fine")}, deeds
        assert "good" in {row.id.decode() for row in self.index.browse(Span(), 0, 50)}, deeds
        assert b'"good"' in b"".join(Dump(self.index)), deeds


each_layout(GarbageTests)


class GarbageWithoutRediSearchTests(GarbageTests):
    """The same on a server that has no RediSearch."""

    case = ServerTestCase
    entry = GarbageTests.entry


each_layout(GarbageWithoutRediSearchTests)


class PagesTests:
    """Pages of the admin and commands."""

    entry = GarbageTests.entry
    steps = STEPS // 10
    commands = (
        *(("showconversation", "bad", *how) for how in ((), ("--json",), ("--raw",))),
        *((name,) for name in ("listconversations", "checkconversations", "reindexconversations")),
    )

    def test_every_page_and_command_answers(self):
        seed = random.randrange(2**32)
        vandal = Vandal(self.redis, self.index, random.Random(seed))
        for step in range(self.steps):
            with self.subTest(seed=seed, step=step):
                self.redis.delete(*[key for key in self.keys() if b":bad" in key] or ["none"])
                for id in ("bad", "good"):
                    self.index.delete(id)
                    self.index.driver(id).append(Run("word", "fine", id="1"))
                deeds = [vandal.strike() for _ in range(vandal.chance.randint(1, 3))]
                for query in ({}, {"q": "good"}, {"q": "fine"}):
                    assert "good" in self.shown(**query), (deeds, query)
                for page in ("change", "raw", "delete"):
                    self.assert_answers(
                        deeds, self.url(f"conversation_{page}", self.address("bad"))
                    )
                self.assert_answers(deeds, self.url("index_changelist"))
                for command in self.commands:
                    self.assert_ends(deeds, *command)

    def assert_answers(self, deeds, url):
        for query in ({}, {"q": "word"}):
            response = self.client.get(url, query, follow=True)
            # What garbage has put past its deadline is not found.
            assert response.status_code in (200, 404), (deeds, url, response.content)

    def assert_ends(self, deeds, *command):
        try:
            call_command(*command, stdout=StringIO(), stderr=StringIO())
        except (CommandError, ConversationMemoryError, SystemExit):
            pass
        except Exception as error:
            raise AssertionError((deeds, command, error)) from error


class PagesWithRediSearchTests(PagesTests):
    case = AdminTestCase
    entry = PagesTests.entry


class PagesWithoutRediSearchTests(PagesTests):
    case = type("AdminServerTestCase", (AdminMixin, ServerTestCase, TestCase), {})
    entry = PagesTests.entry


each_layout(PagesWithRediSearchTests)
each_layout(PagesWithoutRediSearchTests)
