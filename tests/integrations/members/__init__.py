"""The members of the matrix of pairs: those whose package is installed."""

from importlib import import_module
from importlib.util import find_spec

_CLASSES = {
    "chat_messages": ("conversation_memory", "ChatMessages"),
    "griptape": ("griptape", "Griptape"),
    "openai_agents": ("agents", "OpenAIAgents"),
    "langchain": ("langchain_core", "LangChain"),
    "langgraph": ("langgraph", "LangGraph"),
    "llama_index": ("llama_index.core", "LlamaIndex"),
    "pydantic_ai": ("pydantic_ai", "PydanticAI"),
    "agent_framework": ("agent_framework", "AgentFramework"),
}


def installed():
    """The classes of the members, in the order of the table."""
    return [
        getattr(import_module(f"{__name__}.{module}"), name)
        for module, (package, name) in _CLASSES.items()
        if find_spec(package.partition(".")[0])
    ]


def are_all_installed():
    return len(installed()) == len(_CLASSES)
