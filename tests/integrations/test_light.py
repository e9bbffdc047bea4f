"""The app imports no framework, and no adapter imports the framework of another."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pkgutil import iter_modules

from django.test import SimpleTestCase

from conversation_memory import integrations

FRAMEWORKS = {
    "agent_framework": "agent_framework",
    "griptape": "griptape",
    "langchain": "langchain_core",
    "langgraph": "langgraph",
    "llama_index": "llama_index",
    "openai_agents": "agents",
    "pydantic_ai": "pydantic_ai",
}
# LangGraph is built on it.
BELOW = {"langgraph": {"langchain_core"}}


def imported(*modules):
    """The frameworks that a new interpreter has imported after it imported these modules."""
    lines = [
        "import django, json, sys",
        "django.setup()",
        *(f"import {name}" for name in modules),
        f"print(json.dumps([one for one in {[*FRAMEWORKS.values()]} if one in sys.modules]))",
    ]
    environment = {"DJANGO_SETTINGS_MODULE": "example_project.settings"}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return {*json.loads(done.stdout)}


class LightTests(SimpleTestCase):
    def test_the_app_imports_no_framework(self):
        rooms = "indexes messages archive admin imports search testing"
        assert imported(*(f"conversation_memory.{room}" for room in rooms.split())) == set()

    def test_an_adapter_imports_its_own_framework_alone(self):
        for name, package in FRAMEWORKS.items():
            if find_spec(package) and find_spec(f"{integrations.__name__}.{name}"):
                with self.subTest(name):
                    found = imported(f"{integrations.__name__}.{name}")
                    assert found == {package} | BELOW.get(name, set())

    def test_every_adapter_is_one_of_these(self):
        found = {module.name.partition("_")[0] for module in iter_modules(integrations.__path__)}
        assert found <= {name.partition("_")[0] for name in FRAMEWORKS}
