"""OpenTelemetry: a span and the metrics of each operation."""

import asyncio
import os
import re
from contextlib import suppress
from unittest import mock

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from conversation_memory import Run, indexes
from conversation_memory.exceptions import ConversationMemoryError
from conversation_memory.redis_io.operations import Ahead
from conversation_memory.telemetry import Telemetry
from conversation_memory.telemetry.conventions import MEMORY_OPERATIONS
from conversation_memory.telemetry.outcomes import OUTCOMES
from conversation_memory.telemetry.spans import OpenTelemetry

from .observed import WORD, assert_silent
from .pages import ROOT
from .servers import free_port
from .test_telemetry import run
from .utils import RedisTestCase, both, close_connections, each_layout

OPT_IN = {"OTEL_SEMCONV_STABILITY_OPT_IN": "http, gen_ai_latest_experimental"}


class SpanTestCase(RedisTestCase):
    def setUp(self):
        super().setUp()
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.sink = OpenTelemetry(provider, MeterProvider(metric_readers=[self.reader]))
        self.tracer = provider.get_tracer("test")
        self.observe(self.index)

    def observe(self, index):
        index._layout.telemetry._sinks = [self.sink]

    def spans(self):
        """The finished spans, which are forgotten."""
        found = self.exporter.get_finished_spans()
        self.exporter.clear()
        return found

    def points(self, name):
        [scope] = self.reader.get_metrics_data().resource_metrics[0].scope_metrics
        [metric] = [m for m in scope.metrics if m.name == f"conversation_memory.{name}"]
        return metric.data.data_points


@each_layout
class SpanTests:
    case = SpanTestCase

    @both
    def test_each_operation_is_a_span(self, index):
        driver = index.driver("c", owner="ann")
        driver.append(Run(WORD, WORD), Run(WORD, WORD))
        driver.load()
        driver.record()
        index.count()
        append, load, record, count = self.spans()
        assert [span.name.partition(".")[2] for span in (append, load, record, count)] == [
            *("append", "load", "record", "count")
        ]
        assert append.kind is SpanKind.CLIENT
        found = {name.rpartition(".")[2]: value for name, value in append.attributes.items()}
        assert (found["alias"], found["index"]) == ("default", self.index.name)
        assert (found["outcome"], found["runs"], found["conflicts"]) == ("ok", 2, 0)
        assert found["sent_bytes"] > 4 * len(WORD) and found["round_trips"] >= 1
        assert found["address"] == "127.0.0.1" and found["port"] > 0
        assert load.attributes["conversation_memory.runs"] == 2
        assert load.attributes["conversation_memory.received_bytes"] > 4 * len(WORD)
        assert_silent([str(span.attributes) for span in (append, load)], "ann", "gen_ai")

    @both
    def test_an_error_is_its_class_without_a_sentence(self, index):
        driver = index.driver("c")
        driver.append(Run(WORD, WORD))
        self.spans()
        for call, kind, outcome in (
            (lambda: driver.store([], {}, revision="1-0"), "ConversationConflict", "conflict"),
            (lambda: driver.remove(WORD), "RunNotFound", "not_found"),
            (lambda: index.driver("d").set_title(WORD), "ConversationNotFound", "not_found"),
            (lambda: driver.window(count=_fail, max_tokens=1), "KeyError", "error"),
        ):
            with suppress(ConversationMemoryError, KeyError):
                call()
            [span] = self.spans()
            assert span.status.status_code is StatusCode.ERROR
            assert span.status.description is None and not span.events
            assert span.attributes["error.type"] == kind
            assert span.attributes["conversation_memory.outcome"] == outcome
            assert_silent([str(span.attributes)])

    def test_the_span_of_the_caller_is_the_parent(self):
        async def aview():
            with self.tracer.start_as_current_span("view") as view:
                await self.index.driver("c").aappend(Run("a", "b"))
                assert trace.get_current_span() is view
            await close_connections()

        with self.tracer.start_as_current_span("view") as view:
            self.index.driver("c").append(Run("a", "b"))
            assert trace.get_current_span() is view
        asyncio.run(aview())
        append, view, aappend, aview = self.spans()
        assert append.parent.span_id == view.context.span_id
        assert aappend.parent.span_id == aview.context.span_id

    def test_a_read_in_a_thread_has_the_span_as_its_parent(self):
        def step():
            answer = yield Ahead(trace.get_current_span)
            return (yield answer)

        seen = self.index._run(step(), "ahead")
        [span] = self.spans()
        assert seen.get_span_context().span_id == span.context.span_id

    def test_names_of_the_conventions_are_opted_in_to(self):
        with mock.patch.dict(os.environ, OPT_IN):
            self.sink._follows_conventions = OpenTelemetry()._follows_conventions
        driver = self.index.driver("c")
        driver.append(Run("a", "b"))
        driver.load()
        driver.store([Run("a", "b")], {})
        driver.set_title("t")
        driver.delete()
        self.index.search_state()
        *spans, other = self.spans()
        names = ["create_memory", "search_memory", "upsert_memory", "update_memory"]
        assert [span.name for span in spans] == [*names, "delete_memory"]
        for span in spans:
            assert span.attributes["gen_ai.operation.name"] == span.name
            assert span.attributes["gen_ai.memory.store.id"] == self.index.name
            assert span.attributes["gen_ai.conversation.id"] == "c"
        assert spans[0].attributes["gen_ai.memory.record.count"] == 1
        assert other.name == "conversation_memory.search_state"
        assert not any(name.startswith("gen_ai") for name in other.attributes)


def _fail(run):
    raise KeyError(run.input.text)


class HostileNameTests(SpanTestCase):
    def test_names_that_are_not_utf_8_can_be_exported(self):
        self.sink._follows_conventions = True
        for id in (b"\xff\xfe", "a\n\u202e\x00", "\U0001f600" * 250):
            self.index.driver(id).append(Run("a", "b"))
        spans = self.spans()
        for span in spans:
            span.attributes["gen_ai.conversation.id"].encode()
        assert len(spans) == 3
        assert Telemetry("a", "\udcff", ()).name == "?"


class MetricTests(SpanTestCase):
    def test_metrics(self):
        driver = self.index.driver("the-id", owner="ann")
        driver.append(Run(WORD, WORD))
        with suppress(ConversationMemoryError):
            driver.store([], {}, revision="1-0")
        found = {
            point.attributes["conversation_memory.operation"]: point
            for point in self.points("operation.duration")
        }
        assert found["append"].count == 1 and 0 < found["append"].sum < 10
        assert found["append"].attributes["conversation_memory.outcome"] == "ok"
        assert found["store"].attributes["error.type"] == "ConversationConflict"
        assert sum(point.value for point in self.points("runs")) == 1
        assert {p.attributes["network.io.direction"] for p in self.points("io")} == {
            *("transmit", "receive")
        }
        assert_silent([self.reader.get_metrics_data().to_json()], "the-id", "ann")

    def test_writers_that_meet_are_conflicts(self):
        async def write():
            drivers = [self.index.driver("c") for _ in range(8)]
            changes = [driver.aupdate_metadata({str(n): n}) for n, driver in enumerate(drivers)]
            await asyncio.gather(*changes)
            await close_connections()

        asyncio.run(write())
        assert len(self.index.driver("c").load()[1]) == 8
        assert sum(point.value for point in self.points("conflicts")) > 0

    def test_a_server_that_is_away(self):
        entry = {"URL": f"redis://127.0.0.1:{free_port()}"}
        with self.settings(REDIS={"default": entry}):
            index = indexes["default"]
            self.observe(index)
            with suppress(ConversationMemoryError):
                index.count()
        [span] = self.spans()
        assert span.attributes["conversation_memory.outcome"] == "unavailable"
        assert span.attributes["conversation_memory.retries"] > 0

    def test_telemetry_can_be_turned_off(self):
        for telemetry, count in (([], 0), (["opentelemetry"], 1)):
            with self.settings(REDIS={"default": {"HOST": "x", "TELEMETRY": telemetry}}):
                assert len(indexes["default"]._layout.telemetry._sinks) == count

    def test_each_operation_of_the_conventions_is_a_method(self):
        others = {"ids", "dump"}
        for name in {*MEMORY_OPERATIONS} - others:
            subjects = (
                self.index,
                self.index.driver("c"),
                self.index.driver("c")._reply_to(Run("", "")),
            )
            assert any(hasattr(subject, name) for subject in subjects), name


class PageTests(SpanTestCase):
    """docs/reference/telemetry.md has every name, and no other."""

    text = (ROOT / "docs/reference/telemetry.md").read_text()

    def exported(self):
        """The names of attributes and metrics after some work."""
        driver = self.index.driver("c")
        for opts_in in (False, True):
            self.sink._follows_conventions = opts_in
            driver.append(Run("a", "b"))
            with suppress(ConversationMemoryError):
                driver.remove("none")
        [scope] = self.reader.get_metrics_data().resource_metrics[0].scope_metrics
        names = {metric.name for metric in scope.metrics}
        for metric in scope.metrics:
            for point in metric.data.data_points:
                names.update(point.attributes)
        return names.union(*(span.attributes for span in self.spans()))

    def test_names(self):
        sections = self.text.partition("## OpenTelemetry")[2].partition("## Prometheus")[0]
        named = {
            *re.findall(
                r"`((?:conversation_memory|gen_ai|server|error|network)\.[\w.]+)`", sections
            )
        }
        others = {"conversation_memory.connection.wait_time"}  # if there was a long wait
        assert named - others == self.exported() - others

    def test_outcomes(self):
        rows = re.findall(r"^\| `(\w+)` \|", self.text.partition("## OpenTel")[0], re.M)
        assert rows == ["ok", *(word for _, word in OUTCOMES), "error"]

    def test_operations_of_the_conventions(self):
        rows = dict(re.findall(r"^\| (`.*) \| `(\w+_memory)` \|$", self.text, re.M))
        for methods, operation in rows.items():
            named = {*re.findall(r"`(\w+)`", methods)}
            assert named == {m for m, it in MEMORY_OPERATIONS.items() if it == operation}


WITHOUT = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("opentelemetry", "prometheus_client"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
import django
django.setup()
from conversation_memory import Run, indexes
from django.test import override_settings
import uuid
entry = {"URL": URL, "INDEX": uuid.uuid4().hex}
with override_settings(REDIS={"default": entry}):
    driver = indexes["default"].driver("c")
    driver.append(Run("a", "b"))
    assert driver.delete() and not indexes["default"]._layout.telemetry._sinks
assert not [name for name in sys.modules if name.startswith(("opentelemetry", "prometheus"))]
with override_settings(REDIS={"default": {**entry, "TELEMETRY": ["prometheus"]}}):
    from django.core.checks import run_checks
    [error] = run_checks(tags=["conversation_memory"])
    assert error.id == "conversation_memory.E010", error
    try:
        indexes["default"]
    except Exception as error:
        assert "prometheus-client" in str(error)
    else:
        raise AssertionError
"""

ONLY_THE_API = """
import django
django.setup()
from conversation_memory import indexes
from conversation_memory.telemetry.telemetry import _UNOBSERVED
telemetry = indexes["default"]._layout.telemetry
assert telemetry._sinks and telemetry.observe("load", None) is _UNOBSERVED
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
telemetry._sinks[0]._until = 0
assert telemetry.observe("load", None) is not _UNOBSERVED
"""


class PackageTests(RedisTestCase):
    def test_without_the_packages_nothing_is_imported_and_all_works(self):
        from django.conf import settings

        run(f"URL = {settings.REDIS_URL!r}\n{WITHOUT}")

    def test_without_an_sdk_nothing_is_observed(self):
        run(ONLY_THE_API)
