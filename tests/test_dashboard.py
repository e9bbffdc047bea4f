"""The Grafana dashboard of the documentation asks for what a scrape really has."""

import json
import re
import shutil
import subprocess
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import skipUnless
from urllib.parse import urlencode
from urllib.request import urlopen

from conversation_memory import Run
from conversation_memory.exceptions import ConversationMemoryError
from conversation_memory.gauges import IndexGauges

from .pages import ROOT
from .servers import free_port
from .utils import RedisTestCase

DASHBOARD = json.loads((ROOT / "docs/_static/grafana-dashboard.json").read_text())


def expressions():
    """Every query of a panel and of a variable, without the variables of Grafana."""
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    for text in panels:
        text = text.replace("${prefix}", "").replace("$__rate_interval", "1m")
        yield re.sub(r"\$(alias|index)", ".*", text)


def evaluated(address, expression):
    query = urlencode({"query": expression})
    with urlopen(f"http://{address}/api/v1/query?{query}", timeout=5) as response:
        return json.load(response)["data"]["result"]


@skipUnless(find_spec("prometheus_client"), "requires prometheus-client")
class DashboardTests(RedisTestCase):
    entry = {"TELEMETRY": ["prometheus"]}

    def setUp(self):
        from prometheus_client import CollectorRegistry

        from conversation_memory.telemetry.prometheus import Prometheus

        super().setUp()
        self.registry = CollectorRegistry()
        self.index._layout.telemetry._sinks = [Prometheus(self.registry)]
        self.registry.register(IndexGauges(longest=10))

    def work(self):
        driver = self.index.driver("c")
        driver.append(Run("a", "b"))
        driver.load()
        with suppress(ConversationMemoryError):
            driver.store([], {}, revision="1-0")

    def test_each_name_and_label_is_exported(self):
        self.work()
        samples = [sample for family in self.registry.collect() for sample in family.samples]
        labels = {}
        for sample in samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
        used = set()
        for expression in expressions():
            names = re.findall(r"conversation_memory_\w+", expression)
            assert names and {*names} <= {*labels}, expression
            grouped = ", ".join(re.findall(r" by \((.*?)\)", expression))
            matched = re.findall(r'(\w+)[!=]=?~?"', expression)
            for name in names:
                assert {*re.findall(r"\w+", grouped), *matched} <= labels[name], expression
            used.update(names)
        without = {name for name in labels if name.endswith("_created")}
        without |= {"conversation_memory_operation_duration_seconds_count"}
        assert {*labels} - without == used

    def test_the_variables(self):
        queries = [v["query"] for v in DASHBOARD["templating"]["list"] if v["type"] == "query"]
        assert all("${prefix}conversation_memory_operations_total" in query for query in queries)
        text = json.dumps(DASHBOARD["panels"])
        declared = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
        assert {*re.findall(r"\$\{?(?!__)(\w+)", text)} <= declared

    @skipUnless(shutil.which("prometheus"), "requires the program prometheus")
    def test_prometheus_evaluates_each_query(self):
        with self.prometheus() as address:
            for expression in expressions():
                self.wait_for(lambda e=expression: evaluated(address, e), expression)

    def prometheus(self):
        """The address of a Prometheus that scrapes the registry."""
        from prometheus_client import start_http_server

        page, thread = start_http_server(0, addr="127.0.0.1", registry=self.registry)
        self.addCleanup(thread.join)
        self.addCleanup(page.server_close)
        self.addCleanup(page.shutdown)
        return _Prometheus(page.server_port)

    def wait_for(self, found, what):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            self.work()
            with suppress(OSError):
                if found():
                    return
            time.sleep(0.05)
        raise AssertionError(what)


class _Prometheus:
    """A Prometheus in a folder of its own."""

    def __init__(self, scraped):
        self._scraped = scraped

    def __enter__(self):
        self._folder = TemporaryDirectory()
        config = Path(self._folder.name) / "prometheus.yml"
        jobs = [
            {"job_name": "app", "static_configs": [{"targets": [f"127.0.0.1:{self._scraped}"]}]}
        ]
        interval = {"scrape_interval": "200ms", "scrape_timeout": "200ms"}
        config.write_text(json.dumps({"global": interval, "scrape_configs": jobs}))
        address = f"127.0.0.1:{free_port()}"
        self._program = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={self._folder.name}/data",
                f"--web.listen-address={address}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return address

    def __exit__(self, *error):
        self._program.kill()
        self._program.wait()
        self._folder.cleanup()
