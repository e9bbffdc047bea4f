import socket

from django.conf import settings
from django.core import checks
from django.core.management import call_command
from django.test import SimpleTestCase, override_settings

from .servers import ServerTestCase, free_port

URL = "redis://redis.internal:6379/0"
DJANGO_REDIS = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": URL}


def messages(**settings):
    with override_settings(**settings):
        return checks.run_checks(tags=["conversation_memory"])


def ids(**settings):
    return [message.id.removeprefix("conversation_memory.") for message in messages(**settings)]


def ids_of(entry):
    way = {} if {"CLUSTER", "SENTINELS"} & entry.keys() else {"URL": URL}
    return ids(REDIS={"default": {**way, **entry}})


class ChecksTests(SimpleTestCase):
    def test_good_settings(self):
        caches = {"default": DJANGO_REDIS}
        for entry in (
            {"URL": URL},
            {"URL": "rediss://me:word@h?ssl_ca_certs=/etc/ca.pem"},
            {"URL": "unix:///run/redis.sock?db=1", "OPTIONS": {"protocol": 2}},
            {"HOST": "h", "PASSWORD": None, "OPTIONS": {"ssl": True, "max_connections": 5}},
            {"CACHE": "default", "INDEX": "conversations", "CACHE_IS_SHARED": True},
        ):
            with self.subTest(entry=entry):
                assert messages(CACHES=caches, REDIS={"default": entry}) == []

    def test_no_settings(self):
        with self.settings():
            del settings.REDIS
            for backend, says in (
                ("django.core.cache.backends.locmem.LocMemCache", ["W008"]),
                ("django_redis.cache.RedisCache", ["W007"]),
                ("django.core.cache.backends.redis.RedisCache", ["W007"]),
            ):
                with self.subTest(backend):
                    assert ids(CACHES={"default": {**DJANGO_REDIS, "BACKEND": backend}}) == says

    def test_no_settings_and_no_redis_as_the_default_cache(self):
        locmem = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
        [message] = messages(REDIS={}, CACHES={"default": locmem, "other": DJANGO_REDIS})
        assert message.id == "conversation_memory.W008"
        assert 'REDIS = {"default": {"URL": "redis://localhost:6379/0"}}' in message.hint

    def test_a_cache_whose_clear_would_delete_conversations(self):
        caches = {"default": DJANGO_REDIS, "other": DJANGO_REDIS}
        [message] = messages(CACHES=caches, REDIS={"default": {"CACHE": "other"}})
        assert message.id == "conversation_memory.W007"
        assert "the cache 'other'" in message.msg and "CACHE_IS_SHARED" in message.hint

    def test_a_warning_hides_no_error(self):
        one = {"CACHE": "default"}
        other = {**one, "LAYOUT": "list"}
        found = ids(CACHES={"default": DJANGO_REDIS}, REDIS={"default": one, "other": other})
        assert found == ["W007", "W007", "E006"]

    def test_settings_that_are_no_dict(self):
        assert ids(REDIS=[URL]) == ["E001"]

    def test_each_fault_of_an_entry_is_an_error(self):
        found = messages(REDIS={"default": {"NONSENSE": 1}, "support": "redis://"})
        assert [message.id for message in found] == ["conversation_memory.E002"] * 3
        assert "settings.REDIS['support']" in found[-1].msg

    def test_unknown_layout(self):
        [message] = messages(REDIS={"default": {"URL": URL, "LAYOUT": "tree"}})
        assert message.id == "conversation_memory.E003"
        assert "'tree'" in message.msg

    def test_caches_that_cannot_lend(self):
        backend = "django.core.cache.backends."
        for cache in (
            {"BACKEND": f"{backend}locmem.LocMemCache"},
            {"BACKEND": f"{backend}dummy.DummyCache"},
            {"BACKEND": "no.such.Cache", "LOCATION": URL},
            {
                **DJANGO_REDIS,
                "LOCATION": [URL],
                "OPTIONS": {"CLIENT_CLASS": "django_redis.client.ShardClient"},
            },
        ):
            with self.subTest(cache=cache):
                [message] = messages(
                    CACHES={"default": cache}, REDIS={"default": {"CACHE": "default"}}
                )
                assert message.id == "conversation_memory.E004"
                assert "SentinelClient" not in message.msg
                assert "django_redis.cache.RedisCache" in message.hint

    def test_a_title_that_is_not_made_by_a_plain_function(self):
        for title, fault in (
            ("no.such.function", "cannot be imported: No module named 'no'"),
            ("tests.test_checks.URL", "is not callable"),
            ("tests.test_titles.waiting", "is async"),
        ):
            with self.subTest(title):
                [message] = messages(REDIS={"default": {"URL": URL, "TITLE": title}})
                assert message.id == "conversation_memory.E009"
                assert message.msg == f"TITLE of settings.REDIS['default'] {fault}."
        for title in (None, "tests.test_titles.shouting"):
            assert ids_of({"TITLE": title}) == []

    def test_options_that_redis_py_does_not_take(self):
        for options in (
            {"sokcet_timeout": 1},
            {"max_connections": -1},
            {"protocol": 4},
            {"host": "elsewhere"},
        ):
            with self.subTest(options=options):
                entry = {"HOST": "h", "OPTIONS": options}
                assert ids(REDIS={"default": entry}) == ["E005"]

    def test_two_layouts_of_one_index(self):
        one = {"URL": URL, "INDEX": "conversations"}
        for other, expected in (
            ({"LAYOUT": "list"}, ["E006"]),
            ({"LAYOUT": "hash"}, []),
            ({"LAYOUT": "list", "INDEX": "others"}, []),
            ({"LAYOUT": "list", "URL": "redis://redis.internal:6379/1"}, []),
        ):
            with self.subTest(other=other):
                assert ids(REDIS={"default": one, "other": {**one, **other}}) == expected

    def test_tls_without_verification(self):
        for entry in (
            {"URL": "rediss://h?ssl_cert_reqs=none"},
            {"URL": "rediss://h?ssl_check_hostname=False"},
            {"URL": "rediss://h", "OPTIONS": {"ssl_cert_reqs": None}},
            {"URL": "rediss://h", "OPTIONS": {"ssl_cert_reqs": "none"}},
            {"URL": "rediss://h", "OPTIONS": {"ssl_check_hostname": False}},
            {"CLUSTER": ["rediss://h?ssl_cert_reqs=none"]},
            {"SENTINELS": [("h", 1)], "SERVICE": "m", "SENTINEL_OPTIONS": {"ssl_cert_reqs": None}},
        ):
            with self.subTest(entry=entry):
                assert "W001" in ids_of(entry)

    def test_tls_with_verification(self):
        for entry in (
            {"URL": "rediss://h?ssl_cert_reqs=required&ssl_check_hostname=true"},
            {"URL": "rediss://h", "OPTIONS": {"ssl_cert_reqs": "required"}},
        ):
            with self.subTest(entry=entry):
                assert ids_of(entry) == []

    def test_every_message_has_an_id_and_a_hint_and_no_secret(self):
        found = messages(
            CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}},
            REDIS={
                "a": {"NONSENSE": 1},
                "b": {"URL": "http://me:hush@h"},
                "c": {"URL": "redis://:hu/sh@h"},
                "d": {"CACHE": "default"},
                "e": {"HOST": "h", "PASSWORD": "hush", "OPTIONS": {"nonsense": "hush"}},
                "f": {"URL": "rediss://:hush@h?ssl_cert_reqs=none"},
                "g": {"URL": URL, "LAYOUT": "tree"},
            },
        )
        assert len({message.id for message in found}) == 5
        for message in found:
            assert message.id.startswith("conversation_memory.")
            assert message.hint
            assert "hush" not in f"{message} {message!r}"

    def test_no_server_is_asked(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"redis://127.0.0.1:{listener.getsockname()[1]}"
            caches = {
                "django-redis": {**DJANGO_REDIS, "LOCATION": url},
                "django": {
                    "BACKEND": "django.core.cache.backends.redis.RedisCache",
                    "LOCATION": url,
                },
            }
            entries = {alias: {"CACHE": alias, "CACHE_IS_SHARED": True} for alias in caches}
            entries["url"] = {"URL": url}
            assert messages(CACHES=caches, REDIS=entries) == []
            listener.settimeout(0.1)
            with self.assertRaises(TimeoutError):
                listener.accept()

    def test_check_command_runs_them(self):
        with self.settings(REDIS={"default": {}}):
            with self.assertRaisesMessage(Exception, "conversation_memory.E002"):
                call_command("check")


class ServerChecksTests(ServerTestCase):
    options = {"appendonly": "yes"}

    def found(self):
        return checks.run_checks(tags=["conversation_memory"], include_deployment_checks=True)

    def test_a_policy_that_evicts_any_key_is_a_warning(self):
        for policy in ("allkeys-lru", "allkeys-lfu", "allkeys-random"):
            with self.config(maxmemory="100mb", maxmemory_policy=policy):
                [message] = self.found()
            assert message.id == "conversation_memory.W005"
            assert policy in message.msg
            assert "settings.REDIS['default']" in message.msg
            assert "noeviction" in message.hint

    def test_one_that_evicts_no_conversation_is_fine(self):
        for memory, policy in (
            ("100mb", "noeviction"),
            ("100mb", "volatile-lru"),
            ("0", "allkeys-lru"),
        ):
            with self.config(maxmemory=memory, maxmemory_policy=policy):
                assert self.found() == []

    def test_fewer_replicas_than_writes_wait_for_is_a_warning(self):
        entry = {**settings.REDIS["default"], "WAIT": {"replicas": 1, "timeout": 500}}
        with self.settings(REDIS={"default": entry}):
            [message] = self.found()
        assert message.id == "conversation_memory.W017"
        assert "asks for 1 replicas, and its Redis has 0" in message.msg

    def test_only_the_check_of_a_deployment_asks(self):
        with self.config(maxmemory="100mb", maxmemory_policy="allkeys-lru"):
            assert checks.run_checks(tags=["conversation_memory"]) == []

    def test_a_server_that_does_not_tell_is_fine(self):
        url = self.user("allkeys", "allcommands", "-info")
        with self.config(maxmemory="100mb", maxmemory_policy="allkeys-lru"):
            with self.settings(REDIS={"default": {**settings.REDIS["default"], "URL": url}}):
                assert self.found() == []

    def test_a_server_that_cannot_be_used_is_a_warning(self):
        nobody = self.server.url.replace("://", "://nobody:hush@")
        for url, reason in (
            (f"redis://127.0.0.1:{free_port()}", "cannot be reached"),
            (nobody, "rejects the user name or the password"),
        ):
            entry = {**settings.REDIS["default"], "URL": url, "SEARCH": True}
            with self.subTest(reason), self.settings(REDIS={"default": entry}):
                [message] = self.found()
                assert message.id == "conversation_memory.W009"
                assert reason in message.msg and "settings.REDIS['default']" in message.msg
                assert "hush" not in str(message)
                assert checks.run_checks(tags=["conversation_memory"]) == []

    def test_the_default_cache_is_asked_where_there_are_no_settings(self):
        cache = {**DJANGO_REDIS, "LOCATION": f"redis://127.0.0.1:{free_port()}"}
        with self.settings(REDIS={}, CACHES={"default": cache}):
            assert [message.id[-4:] for message in self.found()] == ["W007", "W009"]
