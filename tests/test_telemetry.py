import os
import subprocess
import sys

from django.conf import settings
from django.test import SimpleTestCase

from .pages import ROOT

# In a process of its own, as instrumenting changes redis-py for all that comes after.
TRACED = """
import django
django.setup()
from django.test import override_settings
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from conversation_memory import Run, indexes
from tests.embedders import DIMENSIONS

spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
RedisInstrumentor().instrument(tracer_provider=provider)
entry = {
    "URL": URL,
    "INDEX": f"traced-{PROTOCOL}",
    "SEARCH": {"EMBED": "tests.embedders.embed", "DIMENSIONS": DIMENSIONS},
    "OPTIONS": {"protocol": PROTOCOL},
}
with override_settings(REDIS={"default": entry}):
    index = indexes["default"]
    driver = index.driver("42", owner="ann")
    driver.append(Run("secretword and dogs", "a secretword too"), Run("secretword", "dogs"))
    driver.update_metadata({"note": "secretword"})
    index.embed()
    assert len(index.search("secretword")) == 2
    assert len(index.search(like="secretword and dogs")) == 2
    assert index.search("secretwrd").suggestions == ["secretword"]
    assert driver.recall("secretword", k=1)
    assert driver.load()[0] and len(index.recent(10)) == 1 and list(index) == ["42"]
    index.erase(owner="ann")
found = spans.get_finished_spans()
assert len(found) > 10, found
for span in found:
    said = f"{span.name} {dict(span.attributes)} {span.events}"
    assert "secretw" not in said, said
"""


class TelemetryTests(SimpleTestCase):
    """OpenTelemetry's instrumentation of redis-py works with every call and records no text."""

    def test_traced(self):
        for protocol in (2, 3):
            code = f"URL, PROTOCOL = {settings.REDIS_URL!r}, {protocol}\n{TRACED}"
            environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
            done = subprocess.run(
                [sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
