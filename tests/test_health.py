"""Health: what a probe, a monitor and `check --deploy` are told about an index."""

import time
from datetime import timedelta
from unittest import mock, skipUnless
from uuid import uuid4

from django.conf import settings
from django.core import checks
from django.test import AsyncRequestFactory, RequestFactory

from conversation_memory import Run, health, indexes
from conversation_memory.readiness import aready, ready

from .encrypting import HAS_CRYPTOGRAPHY, EncryptedTestCase, key
from .servers import ServerTestCase, free_port
from .utils import RedisTestCase, both, wait_for

# As docs/howto/connect.md has it.
MINIMAL = (
    *("-@all", "+@read", "+@write", "+@connection", "+@transaction", "-@dangerous", "+info"),
    *("+time", "+eval", "+evalsha", "+script|load"),
)


def stated(found, state):
    return {name for name, it in found.states.items() if it == state}


class HealthTests(ServerTestCase):
    options = {"appendonly": "yes"}

    def deployment_checks(self):
        found = checks.run_checks(tags=["conversation_memory"], include_deployment_checks=True)
        assert all(message.hint for message in found), found
        return [message.id.rpartition(".")[2] for message in found]

    def limited(self, *rules):
        name = uuid4().hex
        self.redis.execute_command("ACL", "SETUSER", name, "on", ">w", "~*", *rules)
        url = self.server.url.replace("://", f"://{name}:w@")
        return self.settings(REDIS={"default": {**settings.REDIS["default"], "URL": url}})

    @both
    def test_a_good_server(self, index):
        found = index.health(within=10)
        assert found.is_ready and stated(found, "ok") == {*health.NAMES}
        assert tuple(found.states) == health.NAMES
        assert self.deployment_checks() == []

    def test_a_server_that_is_away(self):
        entry = {"URL": f"redis://127.0.0.1:{free_port()}"}
        with self.settings(REDIS={"default": entry}):
            for found in (indexes["default"].health(), wait_for(indexes["default"].ahealth())):
                assert not found.is_ready and stated(found, "failed") == {"reachable"}
                assert stated(found, "unknown") == {*health.NAMES} - {"reachable"}
                assert "cannot be reached" in found["reachable"].detail
            assert self.deployment_checks() == ["W009"]

    def test_a_server_that_hangs_is_told_in_time(self):
        with self.stopped():
            for call in (
                lambda: self.index.health(within=0.2),
                lambda: wait_for(self.index.ahealth(within=0.2)),
            ):
                start = time.monotonic()
                found = call()
                assert time.monotonic() - start < 10
                assert "did not answer within 0.2 seconds" in found["reachable"].detail

    def test_the_documented_permissions_are_enough(self):
        with self.limited(*MINIMAL):
            found = indexes["default"].health(within=10)
            assert found["permissions"].state == "ok" and found.is_ready
            assert self.deployment_checks() == []

    def test_what_a_server_refuses_to_tell_is_unknown(self):
        with self.limited("+@all", "-info", "-config"):
            found = indexes["default"].health(within=10)
            assert found.is_ready
            assert stated(found, "ok") == {"reachable", "clock", "search", "encryption", "size"}
            assert self.deployment_checks() == []

    def test_a_missing_permission_is_named(self):
        with self.limited("+@all", "-rpush"):
            found = indexes["default"].health(within=10)
            assert stated(found, "failed") == {"permissions"}
            assert "The first is RPUSH." in found["permissions"].detail
            assert self.deployment_checks() == ["W011"]

    def test_a_full_server(self):
        self.index.driver("c").append(Run("a", "b"))
        for memory, policy, states, ids in (
            ("1mb", "noeviction", {"memory": "failed"}, ["W013"]),
            ("1mb", "volatile-lru", {"memory": "warning"}, ["W013"]),
        ):
            with self.config(maxmemory=memory, maxmemory_policy=policy):
                found = self.index.health(within=10)
                assert {n: s for n, s in found.states.items() if s != "ok"} == states
                assert self.deployment_checks() == ids

    def test_a_server_that_forgets(self):
        with self.config(appendonly="no", save=""):
            assert stated(self.index.health(within=10), "warning") == {"persistence"}
            assert self.deployment_checks() == ["W014"]
        with self.config(appendonly="no", save="60 1"):
            assert self.index.health(within=10)["persistence"].state == "ok"

    def test_too_few_replicas(self):
        with self.config(min_replicas_to_write="1"):
            found = self.index.health(within=10)
            assert stated(found, "failed") == {"writes"}
            assert "min-replicas-to-write (1)" in found["writes"].detail
            assert self.deployment_checks() == ["W012"]

    def test_a_replica_that_has_lost_its_primary(self):
        self.redis.replicaof("127.0.0.1", free_port())
        self.addCleanup(lambda: self.redis.replicaof("NO", "ONE"))
        found = self.index.health(within=10)
        assert stated(found, "failed") == {"writes", "replicas"}
        assert self.deployment_checks() == ["W012", "W016"]

    def test_another_time(self):
        for minutes, state in ((-10, "warning"), (10, "warning"), (0.5, "ok")):
            now = time.time() + timedelta(minutes=minutes).total_seconds()
            with mock.patch.object(health.time, "time", return_value=now):
                assert self.index.health(within=10)["clock"].state == state


class SearchHealthTests(RedisTestCase):
    entry = {"SEARCH": True}

    def test_an_incomplete_search(self):
        self.put("stock", b'{"runs": [], "metadata": {}}')
        self.index.driver("c").append(Run("a", "b"))
        found = self.index.health(within=10)
        assert found["search"].state == "warning" and found.is_ready
        assert "reindexconversations --using default" in found["search"].hint
        self.index.reindex()
        assert self.index.health(within=10)["search"].state == "ok"


@skipUnless(HAS_CRYPTOGRAPHY, "cryptography is not installed")
class EncryptedHealthTests(EncryptedTestCase):
    def told(self, index):
        found = index.health(within=10)
        again = wait_for(index.ahealth(within=10))["encryption"]
        assert found["encryption"] == again
        assert found.is_ready == (again.state != "failed")
        return again.state, again.detail

    def test_a_key_that_stored_values_need_until_all_is_encrypted_anew(self):
        assert self.told(self.index) == ("ok", "")
        self.index.driver("c").append(Run("a", "b"))
        assert self.told(self.index) == ("ok", "")
        with self.keys_are("b") as index:
            assert self.told(index) == (
                "warning",
                "Stored values may need key 'a', which is not in KEYS.",
            )
        with self.keys_are("b", "a") as index:
            assert self.told(index) == ("ok", "")
            index.rotate_keys()
        with self.keys_are("b") as index:
            assert self.told(index) == ("ok", "")
        with self.keys_are("a", "b") as index:  # the way back, and then forgotten again
            index.driver("c").append(Run("a", "b"))
        with self.keys_are("b") as index:
            assert self.told(index)[0] == "warning"

    def test_a_key_that_is_another_one(self):
        self.index.driver("c").append(Run("a", "b"))
        with self.keys_are("ba") as index:
            state, detail = self.told(index)
            assert state == "failed" and "Key 'a' is another one" in detail
        with self.keys_are("b", "ba") as index:
            assert self.told(index)[0] == "warning"

    def test_a_key_that_cannot_be_fetched(self):
        missing = {"id": "a", "key": "env:NOT_SET"}
        failing = mock.Mock(side_effect=ValueError("secret"))
        for keys, state, text in (
            ([{"id": "a", "key": failing}], "failed", "key 'a'"),
            ([key("b"), {"id": "a", "key": failing}], "warning", "key 'a'"),
            (failing, "failed", "KEYS"),
            (lambda: [missing], "failed", "NOT_SET"),
            (lambda: [], "failed", "KEYS"),
        ):
            entry = {**settings.REDIS["default"], "ENCRYPTION": {"KEYS": keys}}
            with self.subTest(text=text), self.settings(REDIS={"default": entry}):
                found = self.told(indexes["default"])
                assert found[0] == state and text in found[1]
                assert "secret" not in found[1]


class ReadyTests(RedisTestCase):
    def responses(self):
        yield ready(RequestFactory().get("/ready/"), within=10)
        yield wait_for(aready(AsyncRequestFactory().get("/ready/"), within=10))

    def test_the_view(self):
        for response in self.responses():
            assert response.status_code == 200
            assert response["Cache-Control"].startswith("max-age=0")
            assert b'"ready": true' in response.content
        assert ready(RequestFactory().post("/ready/")).status_code == 405

    def test_the_view_tells_no_address(self):
        port = free_port()
        with self.settings(REDIS={"default": {"URL": f"redis://127.0.0.1:{port}"}}):
            for response in self.responses():
                assert response.status_code == 503
                assert b'"reachable": "failed"' in response.content
                assert str(port).encode() not in response.content
