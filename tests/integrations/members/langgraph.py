from langchain_core.messages import messages_from_dict, messages_to_dict
from langgraph.graph import START, MessagesState, StateGraph

from conversation_memory.integrations.langgraph import ConversationSaver

from .chat_messages import messages_of
from .langchain import LangChain


class LangGraph(LangChain):
    name = "LangGraph"

    def agent(self, answers=()):
        graph = StateGraph(MessagesState)
        graph.add_node("answer", lambda state: {"messages": [*answers]})
        graph.add_edge(START, "answer")
        return graph.compile(checkpointer=ConversationSaver(self.index, owner=self.owner))

    def add(self, id, messages):
        question, *answers = messages
        self.agent(answers).invoke({"messages": [question]}, _thread(id))

    def read(self, id):
        # A graph continues its own state: the turns of others are here for its prompt.
        return messages_to_dict(messages_from_dict(messages_of(self.driver(id), "langchain")))

    def own(self, id):
        state = self.agent().get_state(_thread(id))
        return messages_to_dict(state.values.get("messages", []))


def _thread(id):
    return {"configurable": {"thread_id": id}}
