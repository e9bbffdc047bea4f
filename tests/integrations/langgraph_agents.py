"""Agents of LangGraph whose model is a script."""

from typing import Annotated, TypedDict

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.messages.utils import AnyMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    asked: int


def model(state):
    """Calls the tool for "… in <city>", answers its result, and echoes anything else."""
    last = state["messages"][-1]
    if isinstance(last, ToolMessage):
        return {"messages": [AIMessage(f"It is {last.content}.")]}
    if " in " in last.text:
        city = last.text.rpartition(" in ")[2].rstrip("?")
        call = {"name": "weather", "args": {"city": city}, "id": f"call-{last.id}"}
        return {"messages": [AIMessage("", tool_calls=[call])]}
    return {"messages": [AIMessage(f"You said: {last.text}")], "asked": state.get("asked", 0) + 1}


def tools(state):
    """The only tool, for which a dangerous city needs a permission."""
    [call] = state["messages"][-1].tool_calls
    city = call["args"]["city"]
    found = interrupt(f"May I look at {city}?") if city == "Atlantis" else "24 °C"
    return {"messages": [ToolMessage(found, tool_call_id=call["id"])]}


def after_model(state):
    return "tools" if getattr(state["messages"][-1], "tool_calls", None) else END


def agent(saver, **options):
    """A compiled graph of the model and the tool."""
    graph = StateGraph(State)
    graph.add_node("model", model)
    graph.add_node("tools", tools)
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", after_model, ["tools", END])
    graph.add_edge("tools", "model")
    return graph.compile(checkpointer=saver, **options)


def human(text, id=None):
    return {"messages": [HumanMessage(text, id=id)]}


def thread(id="t", **configurable):
    return {"configurable": {"thread_id": id, **configurable}}
