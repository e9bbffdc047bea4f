from datetime import timedelta
from unittest import mock

import pytest
from django.conf import settings
from django.test import SimpleTestCase, override_settings

from conversation_memory import conf, indexes
from conversation_memory.conf import MAX_BYTES
from conversation_memory.exceptions import InvalidIndexError
from conversation_memory.masking import Secret, SecretURL, mask

URL = "redis://redis.internal:6379/0"
CACHES = {
    "default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": URL},
    "sessions": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": URL},
    "local": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}


@override_settings(CACHES=CACHES, REDIS={})
class EntryTests(SimpleTestCase):
    def get(self, entry):
        with self.settings(REDIS={"support": entry}):
            return conf.get("support")

    def test_address_in_a_url(self):
        index = self.get({"URL": URL, "INDEX": "tickets"})
        assert (index.alias, index.index, index.url) == ("support", "tickets", URL)

    def test_address_in_parts(self):
        index = self.get({"HOST": "h", "PORT": 1, "DB": 2, "USERNAME": "u", "PASSWORD": "p"})
        assert (index.host, index.port, index.db) == ("h", 1, 2)
        assert (index.username, index.password) == ("u", "p")

    def test_credentials_that_the_environment_does_not_set(self):
        index = self.get({"HOST": "h", "USERNAME": None, "PASSWORD": None})
        assert (index.username, index.password, index.port, index.db) == (None, None, 6379, 0)

    def test_cache(self):
        assert self.get({"CACHE": "sessions"}).cache == "sessions"

    def test_defaults(self):
        index = self.get({"URL": URL})
        assert (index.index, index.layout, index.max_bytes) == ("conversations", "hash", MAX_BYTES)
        assert (index.options, index.lifetime) == ((), None)

    def test_settings_of_an_index_do_not_change(self):
        with pytest.raises(AttributeError):
            self.get({"URL": URL}).index = "other"

    def test_lifetime(self):
        for ttl in (90, 90.0, timedelta(seconds=90)):
            assert self.get({"URL": URL, "TTL": ttl}).lifetime == 90_000
        assert self.get({"URL": URL, "TTL": None}).lifetime is None

    def test_faults(self):
        for entry, says in (
            ("redis://", "is not a dict"),
            (None, "is not a dict"),
            (
                {"URL": URL, "Index": "a"},
                "unknown key 'Index'; known are CACHE, CACHE_IS",
            ),
            ({"URL": URL, 1: 2}, "unknown key '1'"),
            ({"INDEX": "a"}, "it has none of them"),
            ({}, "it has none of them"),
            ({"URL": URL, "CACHE": "default"}, "it has CACHE and URL"),
            ({"URL": URL, "PASSWORD": "p"}, "it has URL and PASSWORD"),
            ({"CACHE": "default", "HOST": "h", "DB": 1}, "it has CACHE and HOST, DB"),
            ({"CACHE": "other"}, "names the cache 'other', which is not in settings.CACHES"),
            ({"URL": "http://h"}, "must start with redis://, rediss:// or unix://"),
            ({"URL": "redis:h"}, "must start with redis://, rediss:// or unix://"),
            ({"URL": ""}, "must start with redis://, rediss:// or unix://"),
            ({"URL": None}, "URL of settings.REDIS['support'] is not a string"),
            ({"URL": "redis://:pa/ss@h"}, "cannot be parsed"),
            ({"URL": "redis://h?db=first"}, "cannot be parsed"),
            ({"HOST": None}, "HOST of settings.REDIS['support'] is not a string"),
            ({"HOST": "h", "PASSWORD": 1}, "PASSWORD of settings.REDIS['support'] is not a string"),
            ({"HOST": "h", "PORT": "6379"}, "PORT of settings.REDIS['support'] must be an"),
            ({"HOST": "h", "PORT": 0}, "must be an integer from 1 to 65535"),
            ({"HOST": "h", "PORT": 65536}, "must be an integer from 1 to 65535"),
            ({"HOST": "h", "DB": -1}, "must be an integer of at least 0"),
            ({"URL": URL, "INDEX": ""}, "INDEX of settings.REDIS['support'] cannot be used"),
            ({"URL": URL, "INDEX": "a{b"}, "has a brace in it"),
            ({"URL": URL, "INDEX": "a}b"}, "has a brace in it"),
            ({"URL": URL, "INDEX": None}, "INDEX of settings.REDIS['support'] is not a string"),
            ({"URL": URL, "INDEX": "\ud800"}, "lone surrogate"),
            ({"URL": URL, "LAYOUT": ["hash"]}, "LAYOUT of settings.REDIS['support'] is not a str"),
            ({"URL": URL, "MAX_BYTES": 0}, "MAX_BYTES of settings.REDIS['support'] must be an"),
            ({"URL": URL, "MAX_BYTES": "1M"}, "MAX_BYTES of settings.REDIS['support'] must be an"),
            (
                {"URL": URL, "MAX_RUN_BYTES": 0},
                "MAX_RUN_BYTES of settings.REDIS['support'] must be",
            ),
            (
                {"URL": URL, "REPLY_LEASE": None},
                "REPLY_LEASE of settings.REDIS['support'] cannot be used.",
            ),
            (
                {"URL": URL, "REPLY_TIMEOUT": 0},
                "REPLY_TIMEOUT of settings.REDIS['support'] cannot be used.",
            ),
            (
                {"URL": URL, "MAX_FOLLOWERS": 0},
                "MAX_FOLLOWERS of settings.REDIS['support'] must be",
            ),
            ({"URL": URL, "TTL": 0}, "at least a millisecond"),
            ({"URL": URL, "TTL": "1h"}, "a number of seconds or a timedelta"),
            ({"URL": URL, "TTL_ON_READ": "no"}, "must be True or False"),
            ({"CACHE": "default", "CACHE_IS_SHARED": 1}, "must be True or False"),
            ({"URL": URL, "CACHE_IS_SHARED": True}, "has no effect without CACHE"),
            ({"URL": URL, "TITLE": 1}, "TITLE of settings.REDIS['support'] is not a string"),
            ({"URL": URL, "CLUSTER": URL}, "it has URL and CLUSTER"),
            ({"CLUSTER": URL, "HOST": "h"}, "it has CLUSTER and HOST"),
            ({"CLUSTER": []}, "must be the URL of a node, or a list of such URLs"),
            ({"CLUSTER": [URL, 1]}, "must be the URL of a node, or a list of such URLs"),
            ({"CLUSTER": "unix:///redis"}, "must start with redis:// or rediss://"),
            ({"CLUSTER": ["redis://:pa/ss@h"]}, "cannot be parsed"),
            ({"CLUSTER": URL, "DB": 1}, "a cluster has one database"),
            ({"CLUSTER": URL, "INDEXES": ["a*"]}, "must be names without * and ?"),
            ({"SENTINELS": [], "SERVICE": "m"}, "must be a list of pairs of host and port"),
            ({"SENTINELS": ["h:1"], "SERVICE": "m"}, "must be a list of pairs of host and port"),
            ({"SENTINELS": [("h", "1")], "SERVICE": "m"}, "must be a list of pairs"),
            ({"SENTINELS": [("h", 1)]}, "requires SERVICE, the name of the master"),
            (
                {"SENTINELS": [("h", 1)], "SERVICE": "m", "SENTINEL_OPTIONS": [1]},
                "SENTINEL_OPTIONS of settings.REDIS['support'] is not a dict of keyword arguments",
            ),
            ({"URL": URL, "SERVICE": "m"}, "SERVICE of settings.REDIS['support'] has no effect"),
            ({"URL": URL, "READ_FROM": "replica"}, "requires CLUSTER or SENTINELS"),
            ({"URL": URL, "READ_FROM": "x"}, "must be 'primary' or 'replica'"),
            ({"URL": URL, "WAIT": 1}, "must be a dict such as {'replicas': 1, 'timeout': 500}"),
            ({"URL": URL, "WAIT": {"replica": 1}}, "must be a dict such as"),
            ({"URL": URL, "WAIT": {"replicas": 0}}, "has 'replicas' that is not an integer"),
            ({"URL": URL, "WAIT": {"timeout": 5000}}, "not below the socket_timeout of 5 s"),
            ({"URL": URL, "WAIT": {}, "OPTIONS": {"socket_timeout": 1}}, "socket_timeout of 1 s"),
            (
                {"URL": URL, "WAIT": {"timeout": 900}, "OPTIONS": {"socket_timeout": 0.5}},
                "not below the socket_timeout of 0.5 s",
            ),
            ({"URL": URL, "OPTIONS": [1]}, "OPTIONS of settings.REDIS['support'] is not a dict"),
            ({"URL": URL, "OPTIONS": {1: 2}}, "is not a dict of keyword arguments"),
            ({"CACHE": "default", "OPTIONS": {"db": 1}}, "has no effect"),
        ):
            with self.subTest(entry=entry), pytest.raises(InvalidIndexError) as caught:
                self.get(entry)
            assert says in str(caught.value), str(caught.value)
            assert "'support'" in str(caught.value)
            assert str(caught.value).count(says) == 1

    def test_servers_of_a_cluster_and_behind_sentinels(self):
        index = self.get({"CLUSTER": URL, "USERNAME": "u", "PASSWORD": "p", "WAIT": {}})
        assert (index.cluster, index.username, index.wait) == ((URL,), "u", conf.WaitSettings())
        entry = {"SENTINELS": [["h", 26379]], "SERVICE": "m", "DB": 3, "READ_FROM": "replica"}
        index = self.get({**entry, "SENTINEL_OPTIONS": {"password": "secret"}})
        assert index.sentinels == (("h", 26379),)
        assert (index.service, index.db, index.read_from) == ("m", 3, "replica")

    def test_aliases_of_one_cluster_have_connections_for_each_slot(self):
        entry, other = {"CLUSTER": URL, "INDEX": "a"}, {"CLUSTER": [URL], "INDEX": "b"}
        assert self.get(entry).server != self.get(other).server
        assert self.get(entry).server == self.get({**other, "INDEX": "a"}).server

    def test_aliases_with_other_passwords_share_no_client(self):
        entry = {"SENTINELS": [("h", 1)], "SERVICE": "m"}
        one, two = (
            self.get({**entry, "SENTINEL_OPTIONS": {"password": Secret(password)}})
            for password in ("one", "two")
        )
        assert one.server != two.server

    def test_all_faults_are_named_at_once(self):
        with pytest.raises(InvalidIndexError, match="unknown key 'A'.*none of them.*MAX_BYTES"):
            self.get({"A": 1, "MAX_BYTES": 0})

    def test_faults_quote_no_secret(self):
        for entry in (
            {"URL": "redis://:hush/hush@h"},
            {"URL": "http://me:hush@h"},
            {"URL": "rediss://me:hush@h", "PASSWORD": "hush"},
            {"HOST": "h", "PASSWORD": b"hush"},
            {"URL": URL, "OPTIONS": ["hush"]},
        ):
            with self.subTest(entry=entry):
                assert "hush" not in " ".join(conf.find_faults("support", entry))

    def test_settings_that_are_no_dict(self):
        for value in ([], "redis://", None):
            with (
                self.settings(REDIS=value),
                pytest.raises(InvalidIndexError, match="dict of dicts"),
            ):
                conf.get("default")

    def test_unknown_layout(self):
        with self.settings(REDIS={"support": {"URL": URL, "LAYOUT": "tree"}}):
            with pytest.raises(InvalidIndexError, match="is 'tree'; there is 'hash'"):
                indexes["support"]


@override_settings(CACHES=CACHES, REDIS={"support": {"URL": URL, "INDEX": "tickets"}})
class HandlerTests(SimpleTestCase):
    def test_names_the_aliases_of_redis_then_those_of_caches_that_lend(self):
        assert list(indexes) == ["support", "default", "sessions"]

    def test_contains(self):
        assert "support" in indexes
        assert "default" in indexes
        assert "local" not in indexes
        assert "other" not in indexes

    def test_gives_the_same_index_again(self):
        assert indexes["support"] is indexes["support"]
        assert (indexes["support"].alias, indexes["support"].name) == ("support", "tickets")

    def test_alias_of_caches_has_the_usual_index(self):
        assert (indexes["default"].alias, indexes["default"].name) == ("default", "conversations")
        assert indexes.default is indexes["default"]

    def test_entry_of_redis_wins(self):
        with self.settings(REDIS={"default": {"URL": URL, "INDEX": "mine"}}):
            assert indexes["default"].name == "mine"
            assert list(indexes) == ["default", "sessions"]

    def test_unknown_alias_names_the_known(self):
        with pytest.raises(InvalidIndexError, match="alias 'other'.*'support', 'default', 'sess"):
            indexes["other"]

    def test_unknown_alias_when_there_is_none(self):
        with self.settings(REDIS={}, CACHES={"default": CACHES["local"]}):
            with pytest.raises(InvalidIndexError, match="choose from none"):
                indexes["other"]

    def test_settings_are_read_anew_after_a_change(self):
        before = indexes["support"]
        with self.settings(REDIS={"support": {"URL": URL, "INDEX": "elsewhere"}}):
            assert indexes["support"].name == "elsewhere"
        assert indexes["support"].name == "tickets"
        assert indexes["support"] is not before

    def test_settings_without_redis(self):
        with mock.patch.object(settings, "REDIS"):
            del settings.REDIS
            assert list(indexes) == ["default", "sessions"]

    def test_aliases_that_are_not_used_cost_nothing(self):
        with self.settings(REDIS={"bad": {"NONSENSE": 1}, "support": {"URL": URL}}):
            assert indexes["support"]
            assert "bad" in indexes


class MaskTests(SimpleTestCase):
    def test_hides_what_may_be_secret(self):
        for url, masked in (
            ("redis://h:6379/0", "redis://h:6379/0"),
            ("redis://:hush@h:6379/0", "redis://********@h:6379/0"),
            ("rediss://hush:hush@h", "rediss://********@h"),
            ("redis://hush@h", "redis://********@h"),
            ("redis://:hu/sh@h/0", "redis://********@h/0"),
            ("redis://:hu#sh@h/0", "redis://********@h/0"),
            ("redis://:hu@sh@h/0", "redis://********@h/0"),
            ("redis://:hu?sh@h/0", "********"),
            ("redis://h?password=hush", "redis://h?********"),
            ("redis://h?password=hu@sh", "********"),
            ("unix://me:hush@/run/redis.sock?db=1", "unix://********@/run/redis.sock?********"),
            ("unix:///run/redis.sock", "unix:///run/redis.sock"),
            ("hush", "********"),
            ("", "********"),
        ):
            with self.subTest(url):
                assert mask(url) == masked
                assert repr(SecretURL(url)) == repr(masked)

    def test_url_is_still_the_url(self):
        assert SecretURL(URL) == URL
        assert f"{SecretURL(URL)}" == URL
