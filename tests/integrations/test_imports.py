"""What is imported with the app and with each adapter."""

import subprocess
import sys
from importlib.util import find_spec

from django.test import SimpleTestCase

from ..pages import ROOT

FRAMEWORKS = {
    "agents": "openai_agents",
    "langchain_core": "langchain",
    "agent_framework": "agent_framework",
    "griptape": "griptape",
}


def imported(module):
    """The frameworks that are imported with a module."""
    code = f"import sys, {module}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {*FRAMEWORKS} & {*done.stdout.split()}


class ImportTests(SimpleTestCase):
    def test_the_app_imports_no_framework(self):
        assert imported("conversation_memory") == set()

    def test_an_adapter_imports_its_own_framework_only(self):
        for framework, name in FRAMEWORKS.items():
            if find_spec(framework):
                with self.subTest(framework):
                    found = imported(f"conversation_memory.integrations.{name}")
                    assert found == {framework}
