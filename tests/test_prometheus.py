"""Prometheus: counters of operations, gauges of indexes, and the dashboard that shows them."""

import time
from contextlib import suppress
from importlib.util import find_spec
from unittest import skipUnless

from django.conf import settings

from conversation_memory import Run
from conversation_memory.exceptions import ConversationMemoryError
from conversation_memory.gauges import IndexGauges, watched

from .observed import WORD, assert_silent
from .servers import ServerTestCase, free_port
from .test_telemetry import run
from .utils import RedisTestCase, both

HAS_CLIENT = find_spec("prometheus_client")
HAS_DJANGO_PROMETHEUS = find_spec("django_prometheus")


@skipUnless(HAS_CLIENT, "requires prometheus-client")
class CounterTests(RedisTestCase):
    def setUp(self):
        from prometheus_client import CollectorRegistry

        from conversation_memory.telemetry.prometheus import Prometheus

        super().setUp()
        self.registry = CollectorRegistry()
        self.index._layout.telemetry._sinks = [Prometheus(self.registry)]

    def value(self, name, **labels):
        labels = {"alias": "default", "index": self.index.name, **labels}
        return self.registry.get_sample_value(f"conversation_memory_{name}", labels)

    @both
    def test_operations_are_counted_by_outcome(self, index):
        before = self.value("operations_total", operation="append", outcome="ok") or 0
        driver = index.driver("the-id", owner="ann")
        driver.append(Run(WORD, WORD), Run(WORD, WORD))
        for call in (lambda: driver.store([], {}, revision="1-0"), lambda: driver.remove(WORD)):
            with suppress(ConversationMemoryError):
                call()
        assert self.value("operations_total", operation="append", outcome="ok") == before + 1
        assert self.value("operations_total", operation="store", outcome="conflict") >= 1
        assert self.value("operations_total", operation="remove", outcome="not_found") >= 1
        assert self.value("operation_duration_seconds_count", operation="append") == before + 1
        assert self.value("runs_total", operation="append") == 2 * (before + 1)
        assert self.value("io_bytes_total", operation="append", direction="sent") > 4 * len(WORD)

    def test_no_label_has_an_id_an_owner_or_a_text(self):
        from prometheus_client import generate_latest

        driver = self.index.driver("the-id", owner="ann")
        driver.append(Run(WORD, WORD))
        self.index.search(WORD)
        assert_silent([generate_latest(self.registry).decode()], "the-id", "ann")


@skipUnless(HAS_CLIENT, "requires prometheus-client")
class GaugeTests(RedisTestCase):
    entry = {"TELEMETRY": ["prometheus"]}

    def gauges(self, **options):
        return {
            (family.name.partition("_index_")[2], sample.labels["alias"]): sample.value
            for family in IndexGauges(**options).collect()
            for sample in family.samples
        }

    def test_sizes(self):
        for id in "abc":
            self.index.driver(id).append(Run(WORD, WORD))
        self.index.driver("a").begin("open?")
        found = self.gauges()
        assert found["conversations", "default"] == 3
        assert found["open_runs", "default"] == 1
        assert found["memory_bytes", "default"] > 100
        assert found["up", "default"] == 1

    def test_an_alias_whose_server_is_away_hides_no_other(self):
        away = {"URL": f"redis://127.0.0.1:{free_port()}", "TELEMETRY": ["prometheus"]}
        quiet = {**settings.REDIS["default"], "TELEMETRY": []}
        with self.settings(REDIS={**settings.REDIS, "away": away, "quiet": quiet, "bad": {"X": 1}}):
            assert watched() == ["default", "away"]
            found = self.gauges()
        assert (found["up", "default"], found["up", "away"]) == (1, 0)
        assert ("conversations", "away") not in found

    def test_an_alias_that_cannot_be_opened_hides_no_other(self):
        bad = {**settings.REDIS["default"], "LAYOUT": "none", "TELEMETRY": ["prometheus"]}
        with self.settings(REDIS={**settings.REDIS, "bad": bad}):
            found = self.gauges()
        assert (found["up", "default"], found["up", "bad"]) == (1, 0)

    def test_nothing_is_asked_when_they_are_registered(self):
        assert [family.samples for family in IndexGauges().describe()] == [[]] * 4


@skipUnless(HAS_CLIENT, "requires prometheus-client")
class HangingServerTests(ServerTestCase):
    entry = {"TELEMETRY": ["prometheus"]}

    def test_a_scrape_waits_for_a_bounded_time_and_asks_once(self):
        gauges = IndexGauges(longest=0.1)
        with self.stopped():
            for _ in range(2):
                start = time.monotonic()
                [up, *_] = gauges.collect()
                assert up.samples[0].value == 0
                assert time.monotonic() - start < 10
            [asked] = gauges._asked.values()
            assert not asked.done()


RACE = """
import threading
import django
django.setup()
from conversation_memory.telemetry import Telemetry
found, faults = [], []
start = threading.Barrier(8)
def work():
    start.wait()
    try:
        found.extend(Telemetry("a", "i", ("prometheus", "opentelemetry"))._sinks)
    except Exception as error:
        faults.append(error)
threads = [threading.Thread(target=work) for _ in range(8)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
assert not faults, faults
assert len(found) == 16 and len({*map(id, found)}) == 2
"""


@skipUnless(HAS_CLIENT, "requires prometheus-client")
class FirstUseTests(RedisTestCase):
    def test_threads_that_come_first_make_the_metrics_once(self):
        run(RACE)


SITE = """
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["conversation_memory", "django_prometheus", "django.contrib.contenttypes"],
    ROOT_URLCONF="django_prometheus.urls", ALLOWED_HOSTS=["*"], SECRET_KEY="x",
    PROMETHEUS_METRIC_NAMESPACE=NAMESPACE,
    REDIS={"default": {"URL": URL, "INDEX": "scraped", "TELEMETRY": ["prometheus"]}},
)
django.setup()
from django.test import Client
from conversation_memory import Run, indexes
indexes["default"].driver("the-id", owner="ann").append(Run("secretword", "secretword"))
print(Client().get("/metrics").content.decode())
indexes["default"].erase(owner="ann")
"""


@skipUnless(HAS_DJANGO_PROMETHEUS, "requires django-prometheus")
class SiteTests(RedisTestCase):
    def test_the_page_of_django_prometheus_and_its_namespace(self):
        page = run(f"URL, NAMESPACE = {settings.REDIS_URL!r}, 'site'\n{SITE}")
        labels = 'alias="default",index="scraped"'
        operation = f'{labels},operation="append",outcome="ok"'
        assert f"\nsite_conversation_memory_operations_total{{{operation}}} 1.0\n" in page
        assert f"\nsite_conversation_memory_index_up{{{labels}}} 1.0\n" in page
        assert "\nconversation_memory" not in page
        assert_silent([page], "the-id", "ann")
