"""Neither a password nor what somebody said is where an operator or an attacker would read it."""

import asyncio
import json
import logging
import pickle
import re
import sys
from copy import deepcopy
from itertools import product
from types import MappingProxyType
from unittest import mock

from django import VERSION
from django.conf import settings
from django.core import checks, mail
from django.core.cache import caches as caches_of_django
from django.test import Client, RequestFactory, SimpleTestCase, override_settings
from django.urls import path
from django.utils.log import AdminEmailHandler
from django.views.debug import ExceptionReporter, technical_500_response

from conversation_memory import RedisConversationMemoryDriver, Run, indexes
from conversation_memory.exceptions import ConversationMemoryError

from .programs import start
from .servers import SECRET, ServerTestCase, free_port, peer
from .utils import RedisTestCase, wait_for

PASSWORD = "hush-hush"
ENTRIES = (
    {"URL": f"redis://:{PASSWORD}@h:1/0"},
    {"URL": f"redis://{PASSWORD}:{PASSWORD}@h:1/0"},
    {"URL": f"rediss://h:1/0?password={PASSWORD}"},
    {"URL": f"unix://me:{PASSWORD}@/run/redis.sock"},
    {"HOST": "h", "PASSWORD": PASSWORD},
    {"HOST": "h", "OPTIONS": {"ssl_password": PASSWORD, "ssl": True}},
    {"URL": "redis://h", "OPTIONS": {"password": PASSWORD}},
    {"CLUSTER": [f"redis://:{PASSWORD}@h:1", "redis://h:2"]},
    {"CLUSTER": f"rediss://me:{PASSWORD}@h:1"},
    {"CLUSTER": "redis://h:1", "PASSWORD": PASSWORD},
    {
        "SENTINELS": [("h", 1)],
        "SERVICE": "m",
        "PASSWORD": PASSWORD,
        "SENTINEL_OPTIONS": {"password": PASSWORD},
    },
)


def secret():
    return SECRET


def run(id="new"):
    return Run(secret(), secret(), id=id)


def error_of(call):
    """What a call raises, as sys.exc_info() has it."""
    try:
        call()
    except Exception:
        return sys.exc_info()
    raise AssertionError("It raised nothing.")


def production_report(exc_info):
    """The mail that Django sends to ADMINS, as HTML and as text."""
    reporter = ExceptionReporter(RequestFactory().get("/"), *exc_info, is_email=True)
    return reporter.get_traceback_html() + reporter.get_traceback_text()


class SettingsTests(SimpleTestCase):
    def test_debug_page_shows_no_password(self):
        for entry in ENTRIES:
            with self.subTest(entry=entry):
                with self.settings(DEBUG=True, REDIS={"default": {**entry}}):
                    page = self.debug_page()
                assert PASSWORD not in page
                assert "REDIS" in page

    def debug_page(self):
        """Of an error that has nothing to do with Redis."""
        exc_info = error_of(lambda: 1 / 0)
        html = technical_500_response(RequestFactory().get("/"), *exc_info).content.decode()
        request = RequestFactory().get("/", headers={"accept": "text/plain"})
        return html + technical_500_response(request, *exc_info).content.decode()

    def test_production_report_shows_no_password(self):
        for entry in ENTRIES:
            with self.subTest(entry=entry), self.settings(REDIS={"default": {**entry}}):
                assert PASSWORD not in production_report(error_of(lambda: 1 / 0))

    def test_nothing_of_ours_prints_a_password(self):
        for entry in ENTRIES:
            with self.subTest(entry=entry), self.settings(REDIS={"default": {**entry}}):
                index = indexes["default"]
                driver = index.driver("c")
                subjects = [index, driver, index.settings, index._connection, driver.client]
                subjects += [driver.to_dict(), driver.client.connection_pool, vars(index)]
                for subject in subjects:
                    assert PASSWORD not in f"{subject} {subject!r}"

    def test_a_driver_of_an_address_prints_no_password(self):
        driver = RedisConversationMemoryDriver(
            host="h", port=1, index="i", username="me", password=PASSWORD
        )
        assert (
            PASSWORD not in f"{driver} {driver!r} {driver.to_dict()} {driver._connection.settings}"
        )

    def test_a_url_with_a_password_still_works(self):
        with self.settings(REDIS={"default": {"URL": f"redis://:{PASSWORD}@h"}}):
            kwargs = indexes["default"].driver().client.connection_pool.connection_kwargs
        assert kwargs["password"] == PASSWORD


class BadSettingsTests(SimpleTestCase):
    """Errors about settings come from frames that hold them."""

    def test_report_about_bad_settings_shows_no_password(self):
        for entry in (
            {"HOST": "h", "PASSWORD": PASSWORD, "NONSENSE": 1},
            {"HOST": "h", "PASSWORD": PASSWORD, "PORT": "1"},
            {"HOST": "h", "PASSWORD": PASSWORD, "LAYOUT": "tree"},
            {"HOST": "h", "PASSWORD": PASSWORD, "OPTIONS": {"nonsense": 1}},
            {"HOST": "h", "OPTIONS": {"password": PASSWORD}},
            {"URL": "redis://h", "OPTIONS": {"password": PASSWORD, "nonsense": 1}},
            {"URL": f"redis://:{PASSWORD}/@h"},
            {"URL": f"http://:{PASSWORD}@h"},
            {"URL": f"redis://:{PASSWORD}@h?socket_timeout=soon"},
        ):
            for way in (
                lambda: indexes["default"].count(),
                lambda: asyncio.run(indexes["default"].acount()),
            ):
                with self.subTest(entry=entry), self.settings(REDIS={"default": {**entry}}):
                    exc_info = error_of(way)
                    assert PASSWORD not in production_report(exc_info)
                    assert PASSWORD not in f"{exc_info[1]} {exc_info[1]!r}"


DJANGO = "django.core.cache.backends.redis.RedisCache"
DJANGO_REDIS = "django_redis.cache.RedisCache"
WITH_PASSWORD = f"redis://:{PASSWORD}@h:1/0"
CACHES_WITH_PASSWORD = (
    {"LOCATION": WITH_PASSWORD},
    {"LOCATION": f"redis://h:1/0?password={PASSWORD}"},
    {"LOCATION": f"{WITH_PASSWORD},redis://:{PASSWORD}@other:1/0"},
    {"LOCATION": [WITH_PASSWORD, f"redis://{PASSWORD}:{PASSWORD}@other:1/0"]},
    {"LOCATION": (WITH_PASSWORD,)},
    {"LOCATION": "redis://h:1/0", "OPTIONS": {"PASSWORD": PASSWORD}},
    {"LOCATION": "redis://h:1/0", "OPTIONS": {"password": PASSWORD}},
    {"LOCATION": "redis://h:1/0", "OPTIONS": {"CONNECTION_POOL_KWARGS": {"password": PASSWORD}}},
    {"LOCATION": "redis://h:1/0", "OPTIONS": {"SENTINELS": [("h", 1)], "ANY": [WITH_PASSWORD]}},
)


def fails_with_settings_at_hand(request):
    cache = settings.CACHES["default"]
    location, options = cache["LOCATION"], cache.get("OPTIONS")
    url = location if isinstance(location, str) else location[0]
    raise RuntimeError(request, type(url), type(options))


def given_settings():
    """Settings with a password in CACHES: of each backend, borrowed by REDIS or not."""
    for backend, cache in product((DJANGO, DJANGO_REDIS), CACHES_WITH_PASSWORD):
        for redis in ({}, {"default": {"CACHE": "default"}}):
            yield {"CACHES": {"default": deepcopy({"BACKEND": backend, **cache})}, "REDIS": redis}


ADMINS = ["ann@example.com"] if VERSION >= (6, 0) else [("Ann", "ann@example.com")]
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
urlpatterns = [path("", fails_with_settings_at_hand)]


@override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[], ADMINS=ADMINS, MAILERS=MAILERS)
class CacheSettingsTests(SimpleTestCase):
    """The password of a cache that lends a connection is in no error report either."""

    def response(self, **headers):
        client = Client(raise_request_exception=False, headers=headers)
        with self.assertLogs("django.request"):
            return client.get("/").content.decode()

    def test_debug_page(self):
        for given in given_settings():
            with self.subTest(given=given), self.settings(**given, DEBUG=True):
                for accepted in ("text/html", "text/plain"):
                    page = self.response(accept=accepted)
                    assert "CACHES" in page
                    assert PASSWORD not in page

    def test_mail_to_the_admins(self):
        handler = AdminEmailHandler(include_html=True)
        for given in given_settings():
            mail.outbox.clear()
            with self.subTest(given=given), self.settings(**given, DEBUG=False):
                self.fail_request(handler)
                [message] = mail.outbox
                [(html, _)] = message.alternatives
                assert "location" in html
                assert "CACHES" in message.body
                assert PASSWORD not in f"{message.subject} {message.body} {html}"

    def fail_request(self, handler):
        logger = logging.getLogger("django.request")
        with mock.patch.multiple(logger, handlers=[handler], propagate=False):
            Client(raise_request_exception=False).get("/")

    def test_a_report_about_a_bad_location_or_a_server_that_is_down(self):
        for backend in (DJANGO, DJANGO_REDIS):
            for url in (
                f"redis://:{PASSWORD}@127.0.0.1:x/0",
                f"redis://:{PASSWORD}/@127.0.0.1:1/0",
                f"redis://:{PASSWORD}@h?socket_timeout=soon",
                f"http://:{PASSWORD}@h",
                f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0",
            ):
                for call in (
                    lambda: indexes["default"].count(),
                    lambda: asyncio.run(indexes["default"].acount()),
                ):
                    caches = {"default": {"BACKEND": backend, "LOCATION": url}}
                    with self.subTest(url), self.settings(CACHES=caches, REDIS={}):
                        exc_info = error_of(call)
                        assert isinstance(exc_info[1], ConversationMemoryError)
                        assert PASSWORD not in production_report(exc_info)
                        assert PASSWORD not in f"{exc_info[1]} {exc_info[1]!r}"

    def test_other_caches_are_left_as_they_are(self):
        files = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache"}
        caches = {"default": {**files, "LOCATION": "/var/tmp/cache"}}
        with self.settings(CACHES=caches):
            assert type(settings.CACHES["default"]["LOCATION"]) is str

    def test_a_masked_setting_is_what_it_was(self):
        for cache in CACHES_WITH_PASSWORD:
            given = {"default": {"BACKEND": DJANGO, **cache}}
            with self.settings(CACHES=deepcopy(given)):
                assert given == settings.CACHES
                assert given == deepcopy(settings.CACHES) == pickle.loads(pickle.dumps(given))
                assert json.dumps(given) == json.dumps(settings.CACHES)

    def found(self, **settings):
        with self.settings(**settings):
            found = checks.run_checks(tags=["conversation_memory"], include_deployment_checks=True)
        return [message for message in found if message.id == "conversation_memory.W006"]

    def test_check_deploy_names_settings_that_show_a_password(self):
        cache = {"default": {"BACKEND": DJANGO_REDIS, "LOCATION": WITH_PASSWORD}}
        entry = {"default": {"HOST": "h", "PASSWORD": PASSWORD}}
        for given in ({"CACHES": cache, "REDIS": {}}, {"REDIS": entry}):
            for shown in (WITH_PASSWORD, PASSWORD, {"hosts": [WITH_PASSWORD]}):
                [message] = self.found(**given, BROKER=shown)
                assert "settings.BROKER" in message.msg
                assert PASSWORD not in f"{message} {message!r} {message.hint}"

    def test_check_deploy_is_fine_with_what_is_hidden(self):
        cache = {"default": {"BACKEND": DJANGO_REDIS, "LOCATION": WITH_PASSWORD}}
        for other in ({}, {"REDIS_PASSWORD": PASSWORD}, {"BROKER": "redis://h"}):
            assert self.found(CACHES=cache, REDIS={}, **other) == []

    def test_check_deploy_names_a_cache_that_cannot_be_masked(self):
        cache = MappingProxyType({"BACKEND": DJANGO_REDIS, "LOCATION": WITH_PASSWORD})
        [message] = self.found(CACHES={"default": cache}, REDIS={})
        assert "settings.CACHES" in message.msg


class MaskedPasswordTests(SimpleTestCase):
    def test_opens_connections(self):
        with start(options={"requirepass": PASSWORD}) as server:
            with_password = server.url.replace("://", f"://:{PASSWORD}@")
            for backend, cache in (
                (DJANGO, {"LOCATION": server.url, "OPTIONS": {"password": PASSWORD}}),
                (DJANGO_REDIS, {"LOCATION": server.url, "OPTIONS": {"PASSWORD": PASSWORD}}),
                (DJANGO, {"LOCATION": [with_password]}),
                (DJANGO_REDIS, {"LOCATION": with_password}),
            ):
                caches = {"default": {"BACKEND": backend, **cache}}
                with self.subTest(backend), self.settings(CACHES=caches, REDIS={}):
                    assert "********" in repr(settings.CACHES)
                    assert indexes["default"].count() == 0
                    assert wait_for(indexes["default"].acount()) == 0
                    caches_of_django["default"].close()
            entry = {"HOST": "127.0.0.1", "PORT": server.port, "PASSWORD": PASSWORD}
            with self.settings(REDIS={"default": entry}):
                assert "********" in repr(settings.REDIS)
                assert indexes["default"].count() == 0
                assert wait_for(indexes["default"].acount()) == 0


class ContentTests(ServerTestCase):
    """What was said is in no error, no error report and no line of a log."""

    options = {"enable-debug-command": "yes"}
    WRITES = (
        lambda driver: driver.append(run()),
        lambda driver: driver.append(run().to_dict()),
        lambda driver: driver.store([run()], {"note": secret()}),
        lambda driver: driver.store([run()], {}, revision="1"),
        lambda driver: driver.edit(run("stored")),
        lambda driver: driver.update_metadata({"note": secret()}),
        lambda driver: driver.set_title(secret()),
    )
    AWRITES = (
        lambda driver: driver.aappend(run()),
        lambda driver: driver.aappend(run().to_dict()),
        lambda driver: driver.astore([run()], {"note": secret()}),
        lambda driver: driver.astore([run()], {}, revision="1"),
        lambda driver: driver.aedit(run("stored")),
        lambda driver: driver.aupdate_metadata({"note": secret()}),
        lambda driver: driver.aset_title(secret()),
    )
    READS = (
        lambda driver: driver.load(),
        lambda driver: driver.tail(1),
        lambda driver: driver.window(max_runs=1),
    )
    AREADS = (
        lambda driver: driver.aload(),
        lambda driver: driver.atail(1),
        lambda driver: driver.awindow(max_runs=1),
    )

    def assert_silent(self, *, reads=False, **entry):
        """Whatever call fails under `entry`, nobody reads in its report what was said."""
        entry = {"URL": self.server.url, "INDEX": self.index.name, **self.entry, **entry}
        calls = self.READS if reads else self.WRITES
        acalls = self.AREADS if reads else self.AWRITES
        with self.settings(REDIS={"default": entry}), self.assertLogs(level="DEBUG") as logs:
            logging.getLogger("tests").info("assertLogs() wants at least one line")
            driver = indexes["default"].driver("c")
            for number, (call, acall) in enumerate(zip(calls, acalls, strict=True)):
                with self.subTest("sync", number=number):
                    self.assert_nothing_said(error_of(lambda call=call: call(driver)))
                with self.subTest("async", number=number):
                    self.assert_nothing_said(error_of(lambda acall=acall: run_async(acall, driver)))
        assert SECRET not in "\n".join(logs.output)

    def assert_nothing_said(self, exc_info):
        report = production_report(exc_info)
        if SECRET in report:
            self.fail(where(report))
        error = exc_info[1]
        while error:
            assert SECRET not in f"{error} {error!r} {error.args}"
            error = error.__cause__ or error.__context__

    def test_redis_is_down(self):
        self.assert_silent(URL=f"redis://127.0.0.1:{free_port()}", OPTIONS={"retry": None})

    def test_redis_is_too_slow(self):
        self.index.driver("c").append(run("stored"))
        with self.stopped():
            self.assert_silent(OPTIONS={"socket_timeout": 0.05})

    def test_redis_hangs_up(self):
        with peer(b"") as port:
            self.assert_silent(URL=f"redis://127.0.0.1:{port}", OPTIONS={"retry": None})

    def test_redis_refuses_writes(self):
        self.index.driver("c").append(run("stored"))
        with self.config(min_replicas_to_write=1):
            self.assert_silent()

    def test_full_memory(self):
        self.index.driver("c").append(run("stored"))
        with self.config(maxmemory=1):
            self.assert_silent()

    def test_user_without_permission(self):
        self.index.driver("c").append(run("stored"))
        self.assert_silent(URL=self.user("allkeys", "allcommands", "-@write"))

    def test_key_of_another_type(self):
        self.redis.set(self.index.name, "a string")
        self.assert_silent()
        self.assert_silent(reads=True)

    def test_conversation_is_damaged(self):
        self.put("c", b'{"runs": [{"text": "%b"}' % SECRET.encode())
        self.assert_silent(reads=True)

    def test_conversation_is_damaged_write(self):
        self.put("c", b'{"runs": [{"text": "%b"}' % SECRET.encode())
        driver = self.index.driver("c")
        for call, acall in ((self.WRITES[0], self.AWRITES[0]), (self.WRITES[5], self.AWRITES[5])):
            self.assert_nothing_said(error_of(lambda call=call: call(driver)))
            self.assert_nothing_said(error_of(lambda acall=acall: run_async(acall, driver)))

    def test_refusals_of_our_own(self):
        self.index.driver("c", owner="alice").append(run("stored"))
        entry = {"URL": self.server.url, "INDEX": self.index.name, **self.entry}
        with self.settings(REDIS={"default": {**entry, "MAX_BYTES": 10}}):
            small = indexes["default"]
            for driver, calls, acalls in (
                (small.driver("d"), self.WRITES[:3], self.AWRITES[:3]),
                (small.driver("c", owner="bob"), self.WRITES, self.AWRITES),
            ):
                for call, acall in zip(calls, acalls, strict=True):
                    self.assert_nothing_said(error_of(lambda c=call, d=driver: c(d)))
                    self.assert_nothing_said(error_of(lambda c=acall, d=driver: run_async(c, d)))

    def test_conflict(self):
        driver = self.index.driver("c")
        driver.append(run("stored"))
        self.assert_nothing_said(error_of(lambda: self.WRITES[3](driver)))
        self.assert_nothing_said(error_of(lambda: run_async(self.AWRITES[3], driver)))

    def test_values_that_are_no_json(self):
        driver = self.index.driver("c")
        for call in (
            lambda: driver.append(Run(secret(), secret(), meta={"a": object()})),
            lambda: driver.store([run()], {"note": secret(), "a": object()}),
            lambda: driver.store([run(), object()], {"note": secret()}),
            lambda: driver.update_metadata({"note": secret(), "a": object()}),
            lambda: run_async(lambda d: d.aappend(Run(secret(), "", meta={"a": object()})), driver),
            lambda: run_async(lambda d: d.astore([run()], {"a": object()}), driver),
            lambda: run_async(lambda d: d.aupdate_metadata({secret(): object()}), driver),
            lambda: driver.set_title(secret() * 100),
        ):
            exc_info = error_of(call)
            assert not isinstance(exc_info[1], ConversationMemoryError)
            self.assert_nothing_said(exc_info)


class ListContentTests(ContentTests):
    entry = {"LAYOUT": "list"}


def run_async(call, driver):
    async def main():
        await call(driver)

    asyncio.run(main())


def where(report):
    """The function and the variable that a report shows the secret of."""
    before = report[: report.index(SECRET)]
    function = re.findall(r", line \d+, in\s+(\w+)", before)[-1:]
    return function, re.findall(r"<td>(\w+)</td>", before)[-1:]


class CommandTests(RedisTestCase):
    def test_commands_print_no_arguments(self):
        operation = self.index.driver("c")._append(run())
        step = next(operation)
        operation.close()
        assert SECRET not in f"{step!r} {step}"
