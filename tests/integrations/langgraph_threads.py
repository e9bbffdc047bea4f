"""Threads of LangGraph without a graph."""

from importlib.util import find_spec
from unittest import skipUnless

HAS_LANGGRAPH = find_spec("langgraph") is not None
if HAS_LANGGRAPH:
    from langgraph.checkpoint.base import empty_checkpoint

    from conversation_memory.integrations.langgraph import ConversationSaver

    from .langgraph_agents import thread


@skipUnless(HAS_LANGGRAPH, "needs langgraph")
class HistoryTestCase:
    def setUp(self):
        super().setUp()
        self.saver = ConversationSaver(self.index)

    def key(self, id="t"):
        return f"{{{self.index.name}}}:checkpoints:{id}"

    def put(self, values, version, saver=None, metadata=(), **configurable):
        """Keep a new checkpoint of these values, all of one version."""
        checkpoint, versions = empty_checkpoint(), dict.fromkeys(values, version)
        checkpoint["channel_values"], checkpoint["channel_versions"] = values, versions
        config = thread(checkpoint_ns="", **configurable)
        return (saver or self.saver).put(config, checkpoint, dict(metadata), versions)
