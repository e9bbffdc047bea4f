"""For the tests of a project that uses the app; nothing else imports it.

`IndexTestMixin` is for test cases of Django, the fixture `conversation_index` for pytest, and
`embedded_redis` is a Redis that needs no installation. `ScriptedClient` stands for a model.
`LayoutTestMixin` and `IntegrationTestMixin` are the tests that a layout or an integration has to
pass.
"""

from .integration_tests import IntegrationTestMixin
from .layout_tests import LayoutTestMixin
from .own_indexes import IndexTestMixin
from .scripted_client import AsyncScriptedClient, ScriptedCall, ScriptedClient

__all__ = [
    "AsyncScriptedClient",
    "IndexTestMixin",
    "IntegrationTestMixin",
    "LayoutTestMixin",
    "ScriptedCall",
    "ScriptedClient",
]
