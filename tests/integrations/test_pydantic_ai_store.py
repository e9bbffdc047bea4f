"""The conversation store for pydantic-ai, compared with that of pydantic-ai itself."""

import asyncio
from unittest import skipUnless

from hypothesis import given, settings

from ..utils import close_connections, each_layout

try:
    from pydantic_ai.conversation_store import InMemoryConversationStore

    from conversation_memory.integrations.pydantic_ai import RedisConversationStore

    from .pydantic_ai_logs import Actor, steps

    HAS_PYDANTIC_AI = True
except ImportError:  # pragma: no cover
    HAS_PYDANTIC_AI = False

needs_pydantic_ai = skipUnless(HAS_PYDANTIC_AI, "pydantic-ai is not installed")


@needs_pydantic_ai
@each_layout
class OracleTests:
    def test_it_does_what_the_store_in_memory_does(self):
        with asyncio.Runner() as runner:

            @settings(max_examples=25)
            @given(steps)
            def check(steps):
                self.wipe()
                runner.run(self.compare(steps))

            try:
                check()
            finally:
                runner.run(close_connections())

    async def compare(self, steps):
        theirs = Actor(InMemoryConversationStore())
        ours = Actor(RedisConversationStore(self.index))
        for step in steps:
            assert await ours.do(step) == await theirs.do(step), step
            assert await ours.state() == await theirs.state(), step
