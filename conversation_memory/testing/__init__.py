"""For the tests of a project that uses the app; nothing else imports it.

`IndexTestMixin` is for test cases of Django, the fixture `conversation_index` for pytest, and
`embedded_redis` is a Redis that needs no installation. `ScriptedClient` stands for a model.
"""

from .own_indexes import IndexTestMixin
from .scripted_client import AsyncScriptedClient, ScriptedCall, ScriptedClient

__all__ = ["AsyncScriptedClient", "IndexTestMixin", "ScriptedCall", "ScriptedClient"]
