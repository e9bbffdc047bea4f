from importlib.util import find_spec
from unittest import skipUnless

from conversation_memory import Run
from conversation_memory.exceptions import InvalidIndexError

from ..encrypting import EncryptedTestCase

HAS_LANGGRAPH = find_spec("langgraph") is not None
if HAS_LANGGRAPH:
    from langchain_core.messages import HumanMessage

    from conversation_memory.integrations.langgraph import ConversationBaseStore, ConversationSaver

    from .langgraph_agents import agent, thread


@skipUnless(find_spec("cryptography"), "cryptography is not installed")
class UncoveredTests(EncryptedTestCase):
    @skipUnless(HAS_LANGGRAPH, "langgraph is not installed")
    def test_checkpoints_and_items_are_refused_rather_than_stored_in_the_clear(self):
        before = self.keys()
        with self.assertRaisesMessage(InvalidIndexError, "ENCRYPTION"):
            ConversationBaseStore(self.index)
        graph = agent(ConversationSaver(self.index))
        with self.assertRaisesMessage(InvalidIndexError, "ENCRYPTION"):
            graph.invoke({"messages": [HumanMessage("lighthouse")]}, thread("c"))
        assert self.keys() == before

    def test_a_rotation_reports_checkpoints_from_before(self):
        self.index.driver("c").append(Run("q", "a"))
        self.redis.hset(self.index._layout.keys.checkpoints(b"c"), "c", "x")
        failures = []
        assert self.index.rotate_keys(failure=failures.append).failed == 1
        assert "checkpoints" in str(failures[0])
