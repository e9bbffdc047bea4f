"""The definition in RediSearch, and what is said of its state on all kinds of servers."""

import time

import pytest
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.test import SimpleTestCase, override_settings
from redis import Redis
from redis.exceptions import ResponseError

from conversation_memory import ConversationIndex, Run, conf
from conversation_memory.conf import SearchSettings
from conversation_memory.keys import Keys
from conversation_memory.search_index.reasons import Reason
from conversation_memory.search_index.schema import Schema

from .programs import start
from .searching import settled
from .servers import ServerTestCase
from .utils import RedisTestCase, both, monitored

URL = "redis://redis.internal:6379/0"


def schema(**search):
    index = conf.IndexSettings(alias="default", search=SearchSettings(**search))
    return Schema.of(index, Keys("c"))


def faults(search):
    return list(conf.find_faults("default", {"URL": URL, "SEARCH": search}))


def state_of(entry):
    """The state that a new process finds."""
    with override_settings(REDIS={"default": entry}):
        index = ConversationIndex(conf.get("default"))
    try:
        return index.search_state()
    finally:
        index._connection.close()


class SettingsTests(SimpleTestCase):
    def test_search_is_off_unless_it_is_set(self):
        with override_settings(
            REDIS={"default": {"URL": URL}, "no": {"URL": URL, "SEARCH": False}}
        ):
            assert conf.get("default").search is None
            assert conf.get("no").search is None

    def test_true_indexes_the_words_alone(self):
        with override_settings(REDIS={"default": {"URL": URL, "SEARCH": True}}):
            assert conf.get("default").search == SearchSettings()

    def test_good_values(self):
        for search in (True, False, {}, {"FIELDS": {"a_1": "tag"}, "LANGUAGE": "english"}):
            assert faults(search) == []
        assert faults({"EMBED": "a.b", "DIMENSIONS": 3}) == []

    def test_each_mistake_is_a_sentence(self):
        for search, says in (
            ("yes", "must be True, False or a dict"),
            ({"FIELD": {}}, "unknown key 'FIELD'"),
            ({"FIELDS": ["topic"]}, "not a dict of names and kinds"),
            ({"FIELDS": {"a b": "tag"}}, "the name 'a b'"),
            ({"FIELDS": {"topic": "vector"}}, "kind of 'topic'"),
            ({"LANGUAGE": 1}, "LANGUAGE"),
            ({"EMBED": "a.b"}, "requires DIMENSIONS"),
            ({"EMBED": "a.b", "DIMENSIONS": 0}, "requires DIMENSIONS"),
        ):
            with self.subTest(search=search):
                [fault] = faults(search)
                assert says in fault
                assert "settings.REDIS['default']" in fault

    def test_checks_find_what_cannot_be_imported_or_stemmed(self):
        for search, id in (
            ({"EMBED": "no.such.module", "DIMENSIONS": 3}, "E008"),
            ({"LANGUAGE": "klingon"}, "E007"),
        ):
            with override_settings(REDIS={"default": {"URL": URL, "SEARCH": search}}):
                [message] = checks.run_checks(tags=["conversation_memory"])
            assert message.id == f"conversation_memory.{id}"
            assert message.hint

    def test_checks_warn_of_another_database_and_of_two_kinds(self):
        entries = {"default": {"URL": URL.replace("/0", "/1"), "SEARCH": True}}
        with override_settings(REDIS=entries):
            [message] = checks.run_checks(tags=["conversation_memory"])
        assert message.id == "conversation_memory.W002"
        with override_settings(REDIS={"a": {"URL": URL}, "b": {"URL": URL, "SEARCH": True}}):
            [message] = checks.run_checks(tags=["conversation_memory"])
        assert message.id == "conversation_memory.W003"


class SchemaTests(SimpleTestCase):
    def test_another_definition_has_another_name(self):
        kinds = [
            schema(),
            schema(fields=(("a", "tag"),)),
            schema(fields=(("a", "text"),)),
            schema(embed="a.b", dimensions=3),
            schema(embed="a.b", dimensions=4),
        ]
        assert len({kind.name for kind in kinds}) == len(kinds)
        assert schema().name == schema().name
        assert all(kind.name.startswith(b"{c}:plain-") for kind in kinds)

    def test_a_field_that_is_not_there(self):
        with pytest.raises(KeyError):
            schema().field("topic")

    def test_an_unknown_language(self):
        with pytest.raises(ImproperlyConfigured):
            schema(language="klingon")

    def test_values_of_each_kind(self):
        kinds = schema(fields=(("n", "numeric"), ("t", "tag"), ("w", "text")))
        for data, values in (
            ({"n": 3, "t": "a", "w": "A b"}, [b"3.0", b"a", b"a b"]),
            ({"n": True, "t": True, "w": 1}, [b"true"]),
            ({"n": 10**400, "t": ["a", None, "b"], "w": None}, [b"a\x1fb"]),
            ({"n": float("nan"), "t": [], "w": []}, []),
            ({"n": "3", "t": {"a": 1}}, []),
            ({"other": 1}, []),
            (None, []),
            ([1], []),
        ):
            with self.subTest(data=data):
                assert kinds.values(data)[1::2] == values


class StateTests(RedisTestCase):
    entry = {"SEARCH": {"FIELDS": {"topic": "tag"}}}

    def entry_of(self, **more):
        return {**settings.REDIS["default"], **more}

    @both
    def test_the_first_use_makes_the_index(self, index):
        self.drop()
        self.index._layout.index_state.forget()
        while (state := index.search_state()).kind == "building":
            assert (state.answers, state.complete) == (True, False)
        assert (state.kind, state.reason, state.fields) == ("ready", None, {"topic": "tag"})
        assert state.name in self.redis.execute_command("FT._LIST")

    def test_a_write_makes_it_too(self):
        self.index.driver("42").append(Run("a", "b"))
        name = self.index._layout.schema.name
        assert name in self.redis.execute_command("FT._LIST")
        assert settled(self.index.search_state).complete

    @both
    def test_what_was_there_before_makes_it_incomplete(self, index):
        self.redis.hset(self.index.name, "42", b'{"runs": [], "metadata": {}}')
        self.index._layout.index_state.forget()
        self.drop()
        state = index.search_state()
        assert (state.kind, state.answers, state.complete) == ("incomplete", True, False)
        assert state.reason == Reason("older")

    def test_what_others_write_later_makes_it_incomplete(self):
        settled(self.index.search_state)
        self.put("42", b'{"runs": [], "metadata": {}}')
        state = state_of(self.entry_of())
        assert state.kind == "incomplete"
        assert state.reason == Reason("not_indexed", 1)

    def test_a_changed_definition_is_built_beside_the_old_one(self):
        old = settled(self.index.search_state)
        self.index.driver("42").store([Run("a", "b", {"colour": "red"})], {})
        fields = {"FIELDS": {"topic": "tag", "colour": "tag"}}
        state = state_of(self.entry_of(SEARCH=fields))
        assert (state.name, state.fields, state.complete) == (old.name, old.fields, True)
        names = self.redis.execute_command("FT._LIST")
        assert (
            len([name for name in names if name.startswith(f"{{{self.index.name}}}".encode())]) == 2
        )

    def test_reindexing_lets_the_new_definition_answer(self):
        old = settled(self.index.search_state)
        self.index.driver("42").store([Run("a", "b", {"colour": "red"})], {})
        fields = {"FIELDS": {"topic": "tag", "colour": "tag"}}
        with self.settings(REDIS={"default": self.entry_of(SEARCH=fields)}):
            index = ConversationIndex(conf.get("default"))
        self.addCleanup(index._connection.close)
        assert index.reindex().documents == 1
        state = settled(index.search_state)
        assert (state.kind, state.name) == ("ready", index._layout.schema.name)
        assert state.fields == {"topic": "tag", "colour": "tag"}
        assert old.name not in self.redis.execute_command("FT._LIST")
        found = self.redis.execute_command(
            "FT.SEARCH", state.name, "@tag_colour:{red}", "NOCONTENT", "DIALECT", 2
        )
        assert 1 in (found.values() if isinstance(found, dict) else found)

    def test_the_old_definition_answers_until_the_new_one_is_built(self):
        settled(self.index.search_state)
        self.index.driver("42").store([Run("a", "b")], {})
        fields = {"FIELDS": {"colour": "tag"}}
        with self.settings(REDIS={"default": self.entry_of(SEARCH=fields)}):
            index = ConversationIndex(conf.get("default"))
        self.addCleanup(index._connection.close)
        with monitored(self.redis) as commands:
            index.reindex()
        names = [command["command"].split()[0] for command in commands]
        assert names.index("FT.DROPINDEX") > len(names) - 1 - names[::-1].index("FT.INFO")

    def test_the_old_process_still_gets_its_answer_from_its_own(self):
        settled(self.index.search_state)
        fields = {"FIELDS": {"topic": "tag", "colour": "tag"}}
        state_of(self.entry_of(SEARCH=fields))
        self.index._layout.index_state.forget()
        assert self.index.search_state().name == self.index._layout.schema.name

    def test_an_index_that_someone_dropped_is_made_again(self):
        self.index.driver("42").append(Run("a", "b"))
        self.drop()
        assert state_of(self.entry_of()).answers
        state = settled(lambda: state_of(self.entry_of()))
        assert state.complete
        assert int(self.redis.ft(state.name.decode()).info()["num_docs"]) == 1

    def test_over_resp2_too(self):
        fields = {"FIELDS": {"topic": "tag", "colour": "tag"}}
        self.index.search_state()
        self.index.driver("42").append(Run("a", "b"))
        entry = self.entry_of(OPTIONS={"protocol": 2})
        assert settled(lambda: state_of(entry)).kind == "ready"
        assert state_of({**entry, "SEARCH": fields}).fields == {"topic": "tag"}

    def test_check_deploy_tells(self):
        self.put("42", b'{"runs": [], "metadata": {}}')
        [message] = self.told()
        assert message.id == "conversation_memory.W004"
        assert "reindexconversations" in message.msg
        self.index.reindex()
        assert self.told() == []

    def told(self):
        """What the checks say, but for W014: the server of the tests keeps nothing on disk."""
        found = checks.run_checks(tags=["conversation_memory"], include_deployment_checks=True)
        return [message for message in found if message.id != "conversation_memory.W014"]

    def test_check_deploy_tells_of_a_server_that_is_not_there(self):
        entry = {"URL": "redis://127.0.0.1:1", "SEARCH": True}
        with self.settings(REDIS={"default": entry}):
            [message] = checks.run_checks(
                tags=["conversation_memory"], include_deployment_checks=True
            )
        assert "cannot be reached" in message.msg

    def test_another_database_has_no_search(self):
        entry = self.entry_of()
        entry["URL"] = entry["URL"].replace("/0", "/1")
        state = state_of(entry)
        assert state.kind == "absent"
        assert state.reason == Reason("database")


class WithoutModuleTests(ServerTestCase):
    entry = {"SEARCH": True}

    @both
    def test_the_state_says_so_and_no_document_is_written(self, index):
        index.driver("42").append(Run("a", "b"))
        state = index.search_state()
        assert (state.kind, state.answers) == ("absent", False)
        assert state.reason == Reason("absent")
        assert not self.redis.keys(self.key("run:*"))


class ClusterTests(ServerTestCase):
    """A node of a cluster that has all slots, and RediSearch."""

    entry = {"SEARCH": True}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = start(search=True, options={"cluster-enabled": "yes"})
        cls.addClassCleanup(cls.server.close)
        with Redis.from_url(cls.server.url) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
                time.sleep(0.02)

    def test_a_cluster_that_answers_for_the_slot_is_found_to_merge(self):
        index = self.index
        index.driver("42", owner="ann").append(Run("a", "b"), Run("c", "d"))
        assert settled(index.search_state).kind == "ready"
        assert len(self.redis.keys(self.key("run:*"))) == 2  # and no probe is left

    def test_a_user_without_permission_is_told_apart(self):
        url = self.user("~*", "+@all", "-ft.info", "-ft.create")
        state = state_of({**settings.REDIS["default"], "URL": url})
        assert (state.kind, state.answers) == ("denied", False)
        assert state.reason == Reason("denied")

    def test_a_user_who_may_not_create_uses_what_is_there(self):
        self.index.search_state()
        url = self.user("~*", "+@all", "-ft.create")
        entry = {**settings.REDIS["default"], "URL": url}
        assert settled(lambda: state_of(entry)).kind == "ready"
        with pytest.raises(ResponseError):
            self.redis.execute_command("FT.INFO", "nobody")
