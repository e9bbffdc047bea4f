"""Redis fails in every way that it can, under every page and action of the list: never a 500."""

from contextlib import contextmanager
from unittest import mock

from django.contrib.admin.models import LogEntry
from django.test import TestCase
from redis.backoff import NoBackoff
from redis.retry import Retry

from conversation_memory import Run, indexes

from .admin import AdminMixin
from .servers import ServerTestCase, free_port, peer, taking_less_than

SECRET = "they told us about the diagnosis"


class FailureTestCase(AdminMixin, ServerTestCase, TestCase):
    def setUp(self):
        super().setUp()
        self.index.driver("c1", owner="7").append(Run("q", SECRET))
        self.key = str(self.address("c1"))

    @contextmanager
    def reached(self, **entry):
        """The index under the same alias and name, reached in another way."""
        options = {"socket_timeout": 0.05, "retry": Retry(NoBackoff(), 0)}
        changed = {"INDEX": self.index.name, "OPTIONS": options, **entry}
        with self.settings(REDIS={"default": changed}):
            yield

    @contextmanager
    def down(self):
        with self.reached(URL=f"redis://127.0.0.1:{free_port()}/0"):
            yield

    @contextmanager
    def hanging(self):
        with self.reached(URL=self.server.url), self.stopped():
            yield

    @contextmanager
    def answering(self, line):
        with peer(line) as port, self.reached(URL=f"redis://127.0.0.1:{port}/0"):
            yield

    @contextmanager
    def read_only(self):
        self.redis.replicaof("127.0.0.1", free_port())
        self.redis.config_set("replica-serve-stale-data", "yes")
        try:
            yield
        finally:
            self.redis.replicaof("no", "one")

    @contextmanager
    def full(self):
        with self.config(maxmemory="1", maxmemory_policy="noeviction"):
            yield

    @contextmanager
    def wrong_password(self):
        with self.reached(URL=self.server.url.replace("://", "://nobody:hush@")):
            yield

    @contextmanager
    def limited(self):
        with self.reached(URL=self.user("~*", "+@all", "-@hash", "-@scripting")):
            yield

    @contextmanager
    def reading_only(self):
        with self.reached(URL=self.user("~*", "+@read", "+@scripting", "+@connection", "+time")):
            yield

    @contextmanager
    def wrong_type(self):
        self.redis.rename(self.index.name, f"{{{self.index.name}}}:aside")
        self.redis.set(self.index.name, "a string")
        try:
            yield
        finally:
            self.redis.delete(self.index.name)

    @contextmanager
    def unknown_command(self):
        """As of a server that is too old, or where scripts were renamed away."""
        with self.answering(b"-ERR unknown command 'EVALSHA', with args beginning with: \r\n"):
            yield

    def failures(self):
        return {
            "down": self.down(),
            "hanging": self.hanging(),
            "loading": self.answering(b"-LOADING Redis is loading the dataset in memory\r\n"),
            "wrong password": self.wrong_password(),
            "limited": self.limited(),
            "wrong type": self.wrong_type(),
            "unknown command": self.unknown_command(),
        }

    def requests(self):
        changelist = self.url("conversation_changelist")
        delete = {"action": "delete_selected", "_selected_action": self.key}
        return {
            "list": lambda: self.client.get(changelist),
            "search": lambda: self.client.get(changelist, {"q": "c"}),
            "unreadable": lambda: self.client.get(changelist, {"state": "unreadable"}),
            "state": lambda: self.client.get(changelist, {"state": "error"}),
            "sorted": lambda: self.client.get(changelist, {"o": "-7"}),
            "usage": lambda: self.client.get(self.url("conversation_usage", self.address())),
            "owner": lambda: self.client.get(changelist, {"owner": "7"}),
            "age": lambda: self.client.get(changelist, {"age": "day"}),
            "conversation": lambda: self.client.get(self.url("conversation_change", self.key)),
            "history": lambda: self.client.get(self.url("conversation_history", self.key)),
            "delete page": lambda: self.client.get(self.url("conversation_delete", self.key)),
            "delete": lambda: self.client.post(
                self.url("conversation_delete", self.key), {"post": "yes"}
            ),
            "action": lambda: self.client.post(changelist, delete),
            "confirmed": lambda: self.client.post(changelist, {**delete, "post": "yes"}),
        }


class EveryFailureTests(FailureTestCase):
    def test_every_page_and_action_answers_in_a_sentence(self):
        for failure, context in self.failures().items():
            with context:
                for name, request in self.requests().items():
                    with self.subTest(failure=failure, request=name):
                        response = request()
                        posts = name in ("delete", "action", "confirmed")
                        assert response.status_code == (302 if posts else 503)
                        page = response if not posts else self.client.get("/admin/")
                        text = page.content.decode()
                        assert "Redis of alias &#x27;default&#x27;" in text
                        assert SECRET not in text and "hush" not in text
                with self.subTest(failure=failure, request="indexes"):
                    response = self.client.get(self.url("index_changelist"))
                    assert response.status_code == 200
                    assert "Redis of alias &#x27;default&#x27;" in response.content.decode()
        assert not LogEntry.objects.exists()

    def test_what_cannot_write_still_reads(self):
        contexts = {
            "read-only": self.read_only(),
            "full": self.full(),
            "no permission to write": self.reading_only(),
        }
        for failure, context in contexts.items():
            with context:
                for name, request in self.requests().items():
                    with self.subTest(failure=failure, request=name):
                        if name in ("delete", "confirmed"):
                            continue
                        assert request().status_code == 200
                with self.subTest(failure=failure):
                    response = self.client.get(self.url("index_changelist"))
                    assert b"cm-failure" not in response.content

    def test_a_refused_deletion_deletes_and_logs_nothing(self):
        for context in (self.read_only(), self.reading_only()):
            with context:
                for name in ("delete", "confirmed"):
                    response = self.requests()[name]()
                    assert response.status_code == 302
                    told = self.client.get("/admin/").content.decode()
                    assert "Redis of alias &#x27;default&#x27;" in told
            assert self.stored("c1") and not LogEntry.objects.exists()


class OverviewFailureTests(FailureTestCase):
    def test_an_index_that_is_down_costs_its_own_row_only(self):
        entry = {"URL": self.server.url, "INDEX": self.index.name}
        down = {"URL": f"redis://127.0.0.1:{free_port()}/0"}
        with self.settings(REDIS={"down": down, "default": entry, "wrong": {"NONSENSE": 1}}):
            page = self.client.get(self.url("index_changelist"))
            rows = {row.alias: row for row in page.context["cl"].result_list}
        assert "cannot be reached" in rows["down"].failure
        assert "unknown key" in rows["wrong"].failure
        assert rows["default"].statistics.conversations == 1
        assert page.content.count(b"cm-failure") == 2 and b"Conversations active" in page.content

    def test_many_indexes_of_a_server_that_hangs_cost_one_time_out(self):
        options = {"socket_timeout": 0.5}
        entry = {"URL": self.server.url, "OPTIONS": options, "INDEXES": ["x-*"]}
        entries = {f"i{n}": {**entry, "INDEX": f"i{n}"} for n in range(20)}
        with self.settings(REDIS=entries), self.stopped(), taking_less_than(8):
            page = self.client.get(self.url("index_changelist"))
        assert page.content.count(b"cm-failure") >= 20

    def test_other_indexes_can_be_opened_while_the_first_is_down(self):
        entry = {"URL": self.server.url, "INDEX": self.index.name}
        down = {"URL": f"redis://127.0.0.1:{free_port()}/0"}
        with self.settings(REDIS={"down": down, "default": entry}):
            assert self.list().status_code == 503
            key = str(self.address(index=indexes["default"]))
            assert self.shown(index=key) == ["c1"]
            # The way to them is on the page that says what failed.
            assert self.url("index_changelist") in self.list().content.decode()

    def test_figures_that_redis_does_not_give_are_left_out(self):
        with self.reached(URL=self.user("~*", "+@all", "-info", "-memory")):
            page = self.client.get(self.url("index_changelist"))
            [row] = [r for r in page.context["cl"].result_list if r.alias == "default"]
        found = row.statistics
        assert (found.conversations, found.memory, found.version) == (1, None, None)

    def test_a_deletion_that_fails_half_way_logs_what_is_gone(self):
        from conversation_memory.admin import conversation_admin

        for number in range(3):
            self.index.driver(f"d{number}").append(Run("q", "a"))
        keys = [str(self.address(f"d{number}")) for number in range(3)]
        data = {"action": "delete_selected", "_selected_action": keys, "post": "yes"}
        with mock.patch.object(conversation_admin, "_AT_ONCE", 1):
            delete = conversation_admin.ConversationList.log_done
            done = []

            def failing(*args):
                delete(*args)
                done.append(args)
                if len(done) == 2:
                    self.redis.replicaof("127.0.0.1", free_port())

            with mock.patch.object(conversation_admin.ConversationList, "log_done", failing):
                try:
                    self.client.post(self.url("conversation_changelist"), data)
                finally:
                    self.redis.replicaof("no", "one")
        gone = {str(self.address(f"d{n}")) for n in range(3)} - {
            str(self.address(id)) for id in self.index
        }
        assert len(gone) == 2
        assert {entry.object_id for entry in LogEntry.objects.all()} == gone
