"""Tools that watch a project from outside see what the app does, and no word of a conversation."""

import os
import subprocess
import sys
from importlib.util import find_spec
from unittest import skipUnless

from django.conf import settings
from django.test import SimpleTestCase

from .pages import ROOT

# Each in a process of its own, as instrumenting changes redis-py for all that comes after.
BEGIN = """
import json
import django
django.setup()
from tests.observed import ID, OWNER, assert_silent, workload
"""

OPENTELEMETRY = """
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans, provider, reader = InMemorySpanExporter(), TracerProvider(), InMemoryMetricReader()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))
RedisInstrumentor().instrument(tracer_provider=provider)
workload()
found = spans.get_finished_spans()
names = {span.name for span in found}
assert {"EVALSHA", "conversation_memory.append", "conversation_memory.search"} <= names, names
told = [f"{it.name} {it.attributes!r} {it.events} {it.status.description}" for it in found]
assert_silent(told, ID, OWNER)
ours = {span.context.span_id: span.name for span in found if span.name.startswith("conv")}
calls = [span for span in found if span.name == "EVALSHA"]
assert all(call.parent and call.parent.span_id in ours for call in calls)
assert_silent([reader.get_metrics_data().to_json()], ID, OWNER)
"""

SENTRY = """
import sentry_sdk
from sentry_sdk.transport import Transport
from tests import observed

class Kept(Transport):
    sent = []
    def capture_envelope(self, envelope):
        self.sent.append(envelope.serialize().decode())

sentry_sdk.init("https://key@localhost/1", transport=Kept, traces_sample_rate=1.0)
def failing(index, driver):
    for call in observed.failures(index, driver):
        try:
            call()
        except Exception as error:
            sentry_sdk.capture_exception(error)
observed.fail = failing
with sentry_sdk.start_transaction(op="test", name="test"):
    workload()
sentry_sdk.flush()
text = "".join(Kept.sent)
assert "EVALSHA" in text and "ConversationNotFound" in text, text[:2000]
assert_silent(Kept.sent)
"""

ELASTIC = """
import elasticapm
from elasticapm.base import Client
from tests import observed

class Kept(Client):
    sent = []
    def queue(self, event_type, data, flush=False):
        self.sent.append(json.dumps(data, default=str))

client = Kept(service_name="test", server_url="http://localhost:1", metrics_interval="0ms",
              central_config=False, cloud_provider="none", disable_metrics="*",
              span_compression_enabled=False, transaction_max_spans=5000)
elasticapm.instrument()
def failing(index, driver):
    for call in observed.failures(index, driver):
        try:
            call()
        except Exception:
            client.capture_exception()
observed.fail = failing
client.begin_transaction("test")
workload()
client.end_transaction("test", "ok")
text = "".join(Kept.sent)
assert "EVALSHA" in text and "ConversationNotFound" in text, text[:2000]
assert_silent(Kept.sent)
client.close()
"""


def run(code, **environ):
    """Run a program with the settings of the tests, and return what it prints."""
    environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", **environ}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class WatchingToolTests(SimpleTestCase):
    def test_opentelemetry(self):
        run(f"{BEGIN}{OPENTELEMETRY}", REDIS_URL=settings.REDIS_URL)

    @skipUnless(find_spec("sentry_sdk"), "requires sentry-sdk")
    def test_sentry(self):
        run(f"{BEGIN}{SENTRY}", REDIS_URL=settings.REDIS_URL)

    @skipUnless(find_spec("elasticapm"), "requires elastic-apm")
    def test_elastic_apm(self):
        run(f"{BEGIN}{ELASTIC}", REDIS_URL=settings.REDIS_URL)
