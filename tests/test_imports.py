"""Importing what other libraries keep in Redis."""

import json
import os
import subprocess
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from unittest import skipUnless

from django.core.management import CommandError, call_command
from redis import Redis

from conversation_memory.imports import PEERS, PeerSource
from conversation_memory.management.exit_codes import Exit
from conversation_memory.testing.embedded_redis import EmbeddedRedis

from . import peer_data
from .programs import json_module
from .utils import RedisTestCase, each_layout

PEERS_PYTHON = os.environ.get("PEERS_PYTHON")
WRITER = Path(__file__).with_name("write_as_peers.py")
OPTIONS = {"redisvl": ["--prefix", "lamps"], "llama-index": ["--prefix", "li:"]}
IDS = {
    "agent-framework": "af:1",
    "agno": "ag:1",
    "langchain-community": "s:1",
    "langchain-redis": "lr:1",
    "langgraph": "lg:1",
    "llama-index": "li:1",
    "openai-agents": "oa:1",
    "redisvl": "s1",
}


def done(*args):
    """What `importconversations` prints, and its exit code."""
    out, err, code = StringIO(), StringIO(), 0
    try:
        call_command("importconversations", *args, stdout=out, stderr=err)
    except CommandError as error:
        code = error.returncode
        err.write(str(error))
    return SimpleNamespace(out=out.getvalue(), err=err.getvalue(), code=code)


class Peers:
    """A server on which the libraries have written."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.has_documents = json_module() is not None
        options = {"loadmodule": str(json_module())} if cls.has_documents else {}
        cls.server = cls.enterClassContext(EmbeddedRedis(options=options))
        cls.there = Redis.from_url(cls.server.url)
        cls.addClassCleanup(cls.there.close)
        cls.write()

    def imported(self, peer, *options):
        more = (*OPTIONS.get(peer, ()), *options)
        return done("--from", peer, "--url", self.server.url, *more)

    def dumped(self):
        return {key: self.there.dump(key) for key in self.there.scan_iter(count=1000)}

    def peers(self):
        documents = () if self.has_documents else ("langchain-redis", "langgraph")
        return [peer for peer in PEERS if peer not in documents]


@each_layout
class ImportTests(Peers):
    @classmethod
    def write(cls):
        peer_data.write(cls.there, with_documents=cls.has_documents)

    def test_every_library_is_imported_and_nothing_is_changed_there(self):
        before = self.dumped()
        for peer in self.peers():
            with self.subTest(peer):
                assert "would import 1 conversation (1 new" in self.imported(peer, "--dry-run").out
                assert self.index.count() == 0
                assert "imported 1 conversation (1 new" in self.imported(peer).out
                driver = self.index.driver(IDS[peer])
                run = driver.load()[0][0]
                asked, said = run.input.text, run.output.text
                assert (asked, said) == ("Where is the lamp?", "It is in the tower.")
                assert "0 new, 0 replaced); 1 unchanged" in self.imported(peer).out
                driver.delete()
        assert self.dumped() == before

    def test_tool_calls_owners_times_and_titles_come_along(self):
        for peer in ("openai-agents", "langchain-community", "agno"):
            self.imported(peer, "--owner", "bob")
        times = self.index.driver("oa:1").record()
        assert (times.created, times.updated) == tuple(
            datetime.fromtimestamp(seconds, UTC) for seconds in (1795738327, 1795738400)
        )
        assert times.owner == "bob"
        items = self.index.driver("oa:1").messages(format="openai-responses")
        assert items == peer_data.LISTS["agents:session:oa:1:messages"]
        said = self.index.driver("s:1")
        [question] = said.open_runs()
        assert question.input.text == "Thanks"
        assert [one["role"] for one in said.messages(run_id=question.run_id)] == [
            *("system", "user", "assistant", "tool", "assistant", "user")
        ]
        about = self.index.driver("ag:1").record()
        assert (about.owner, about.title) == ("ann", "Lamps")
        assert len(self.index.driver("ag:1").messages()) == 3

    def test_the_scope_of_a_key_is_kept(self):
        self.imported("agent-framework")
        _, metadata = self.index.driver("af:1").load()
        scope = {"tenant": "t|1", "application": "app", "source": "redis_memory"}
        assert metadata == {"agent_framework": scope}


class ImportFailureTests(Peers, RedisTestCase):
    @classmethod
    def write(cls):
        cls.there.rpush(
            "agents:session:good:messages", json.dumps({"role": "user", "content": "?"})
        )
        cls.there.rpush("agents:session:bad:messages", "{")
        cls.there.rpush("agents:session:shut:messages", json.dumps({"__enc__": 1}))
        cls.there.set("agents:session:other:messages", "of another type")

    def test_what_cannot_be_read_is_named_and_left_out(self):
        found = self.imported("openai-agents")
        assert found.code == Exit.FAILED
        assert "imported 1 conversation" in found.out
        assert "Not imported: 'bad': it is not JSON." in found.err
        assert "Not imported: 'shut': it is encrypted." in found.err
        assert "{" not in found.err
        assert [record.conversation_id for record in self.index.recent()] == ["good"]

    def test_a_library_without_a_prefix_of_its_own_requires_one(self):
        found = done("--from", "redisvl", "--url", self.server.url)
        assert found.code == 1 and "--prefix" in found.err

    def test_nothing_found_is_said(self):
        assert "No conversations were found" in self.imported("agno").err

    def test_a_server_that_does_not_answer_is_named_without_its_password(self):
        for user, query in (("ann:secret@", ""), ("ann:x@secret@", ""), ("", "?password=secret")):
            found = done("--from", "agno", "--url", f"redis://{user}127.0.0.1:1/0{query}")
            assert found.code == Exit.UNAVAILABLE
            assert "127.0.0.1:1" in found.err and "secret" not in found.err

    def test_a_wrong_address_is_refused(self):
        found = done("--from", "agno", "--url", "http://x")
        assert found.code == Exit.SETTINGS and "redis://" in found.err
        found = done("--from", "agno", "--url", "redis://ann:sec/ret@x:1/0")
        assert found.code == Exit.SETTINGS and "percent-encode" in found.err
        assert "sec" not in found.err

    def test_a_conversation_that_is_stored_with_other_content_is_a_conflict(self):
        self.index.driver("good").append({"input": "a", "output": "b"})
        found = self.imported("openai-agents")
        assert found.code == Exit.CONFLICT and "'good'" in found.err
        assert "1 skipped" in self.imported("openai-agents", "--on-conflict", "skip").out

    def test_an_unknown_library_is_refused(self):
        with self.assertRaisesRegex(ValueError, "Choose agent-framework"):
            PeerSource("mem0", self.server.url)


class HostileImportTests(Peers, RedisTestCase):
    """Beside each conversation that is damaged, one that is not."""

    @classmethod
    def write(cls):
        pass

    def setUp(self):
        super().setUp()
        self.there.flushall()

    def beside(self, peer, good, *options):
        """What becomes of the damaged one, and the ids that were imported."""
        found = self.imported(peer, *options)
        records = [*self.index.recent()]
        assert good in [record.conversation_id for record in records], found
        return found, records

    def agno(self, id, **more):
        runs = [{"messages": [{"role": "user", "content": "?"}]}]
        self.there.set(f"agno:sessions:{id}", json.dumps({"session_id": id, "runs": runs, **more}))

    def test_a_session_of_agno_that_is_damaged_costs_no_other(self):
        self.agno("good")
        deep = json.loads("[" * 300 + "]" * 300)
        for damage in ({"metadata": {"x": deep}}, {"user_id": "\ud800"}):
            with self.subTest(damage):
                self.agno("bad", **damage)
                found, records = self.beside("agno", "good")
                assert len(records) == 1
                assert found.code == Exit.FAILED and "Not imported: 'bad': " in found.err
        self.agno("bad", runs=5, session_data=[], metadata=7)
        found, records = self.beside("agno", "good")
        assert len(records) == 2 and found.code == 0

    def test_a_key_of_another_type_beside_a_conversation_costs_no_other(self):
        for id in ("bad", "good"):
            self.there.rpush(
                f"agents:session:{id}:messages", json.dumps({"role": "user", "content": "?"})
            )
        self.there.set("agents:session:bad", "x")
        found, records = self.beside("openai-agents", "good")
        assert len(records) == 1
        assert "Not imported: 'bad': it has a key of another type." in found.err

    def test_a_key_that_seems_encoded_is_a_name(self):
        message = {"type": "message", "role": "user", "contents": [{"type": "text", "text": "?"}]}
        names = (":good", "|v2|~none|~none|~none|~none|~redis-x-a")
        for name in names:
            self.there.rpush(f"chat_messages{name}", json.dumps(message))
        _, records = self.beside("agent-framework", "good")
        assert {record.conversation_id for record in records} == {"good", "~redis-x-a"}

    def test_any_bytes_may_be_a_prefix_or_an_id(self):
        for key in (b"\xff[*?:a\x00\xfe", b"\xffx:b"):
            self.there.rpush(key, json.dumps({"type": "human", "data": {"content": "?"}}))
        found = self.imported("langchain-community", "--prefix", "\udcff[*?:")
        assert found.code == 0
        assert [record.conversation_id for record in self.index.recent()] == ["a\x00\udcfe"]

    def test_what_expires_meanwhile_is_left_out(self):
        for id in ("gone", "good"):
            self.there.rpush(
                f"agents:session:{id}:messages", json.dumps({"role": "user", "content": "?"})
            )
        source = PeerSource("openai-agents", self.server.url)
        self.addCleanup(source.close)
        source.verify()
        assert source.count == 2
        self.there.delete("agents:session:gone:messages")
        assert [entry.id for entry in source.entries()] == [b"good"]
        self.there.set("agents:session:good", "x")
        assert [*source.entries()] == []
        assert source.unreadable == {"good": "it has a key of another type"}

    def test_an_owner_that_is_empty_is_none(self):
        self.agno("c", user_id="")
        self.imported("agno", "--owner", "bob")
        assert self.index.driver("c").record().owner == "bob"


@skipUnless(PEERS_PYTHON and json_module(), "PEERS_PYTHON has no interpreter with the libraries")
class RealLibrariesTests(Peers, RedisTestCase):
    @classmethod
    def write(cls):
        subprocess.run([PEERS_PYTHON, WRITER, cls.server.url], check=True, capture_output=True)

    def test_what_the_libraries_write_today_is_imported(self):
        for peer in PEERS:
            with self.subTest(peer):
                assert "imported 1 conversation (1 new" in self.imported(peer).out
                run = self.index.driver(IDS[peer]).load()[0][0]
                asked, said = run.input.text, run.output.text
                assert (asked, said) == ("Where is the lamp?", "It is in the tower.")
                self.index.driver(IDS[peer]).delete()
