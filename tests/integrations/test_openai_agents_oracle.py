"""A conversation as a session does what the SDK's own session does."""

import json
from importlib.util import find_spec
from unittest import SkipTest

from hypothesis import given, settings
from hypothesis import strategies as st

from ..strategies import texts, values
from ..test_messages import same
from ..utils import close_connections, each_layout
from .openai_items import ITEMS

if not find_spec("agents"):
    raise SkipTest("openai-agents is not installed")

import asyncio

from agents import SQLiteSession

from conversation_memory.integrations.openai_agents import ConversationSession

some_items = st.lists(
    st.sampled_from([ITEMS[0], *ITEMS])
    | st.builds(lambda text: {"role": "user", "content": text}, texts)
    | st.dictionaries(st.sampled_from(["type", "role", "content", "x"]), values, max_size=3),
    max_size=4,
).filter(lambda items: "NaN" not in json.dumps(items))
steps = st.lists(
    st.tuples(st.just("add_items"), some_items)
    | st.tuples(st.just("get_items"), st.none() | st.integers(1, 6))
    | st.tuples(st.sampled_from(["pop_item", "clear_session", "open"]), st.none()),
    max_size=12,
)


@each_layout
class OpenAIAgentsOracleTests:
    def test_it_does_what_the_session_of_the_sdk_does(self):
        with asyncio.Runner() as runner:

            @settings(max_examples=8)
            @given(steps)
            def check(steps):
                runner.run(self.follow(steps))

            try:
                check()
            finally:
                runner.run(close_connections())

    async def follow(self, steps):
        driver, stock = self.index.driver(), SQLiteSession("c")
        session = ConversationSession(driver)
        try:
            for name, argument in steps:
                if name == "open":
                    session = ConversationSession(driver)
                else:
                    arguments = [argument] if name in ("add_items", "get_items") else []
                    found = await getattr(session, name)(*arguments)
                    assert same(found, await getattr(stock, name)(*arguments)), (name, argument)
            assert same(await ConversationSession(driver).get_items(), await stock.get_items())
        finally:
            stock.close()
            await driver.adelete()
