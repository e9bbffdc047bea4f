"""Writes conversations to the Redis at argv[1] with the libraries that `importconversations` knows.

For an interpreter of its own: these libraries want an older redis-py. The gate has one.
"""

import asyncio
import sys
import warnings

warnings.simplefilter("ignore")

QUESTION, ANSWER = "Where is the lamp?", "It is in the tower."


def langchain(url):
    from langchain_community.chat_message_histories import RedisChatMessageHistory as Community
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
    from langchain_redis import RedisChatMessageHistory

    call = {"name": "find", "args": {"thing": "lamp"}, "id": "t1"}
    said = [SystemMessage("Be brief."), HumanMessage(QUESTION), AIMessage("", tool_calls=[call])]
    said += [ToolMessage("In the tower.", tool_call_id="t1"), AIMessage(ANSWER)]
    Community("s:1", url=url).add_messages([*said, HumanMessage("Thanks")])
    history = RedisChatMessageHistory("lr:1", redis_url=f"{url}?protocol=2")
    history.add_messages([HumanMessage(QUESTION), AIMessage(ANSWER)])


def langgraph(url):
    from langchain_core.messages import AIMessage, HumanMessage
    from langgraph.checkpoint.redis import RedisSaver
    from langgraph.graph import START, MessagesState, StateGraph

    def answer(state):
        return {"messages": [AIMessage(ANSWER)]}

    with RedisSaver.from_conn_string(url) as saver:
        saver.setup()
        graph = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer")
        config = {"configurable": {"thread_id": "lg:1"}}
        graph.compile(checkpointer=saver).invoke({"messages": [HumanMessage(QUESTION)]}, config)


def redisvl(url):
    from redisvl.extensions.message_history import MessageHistory

    MessageHistory("lamps", session_tag="s1", redis_url=f"{url}?protocol=2").store(QUESTION, ANSWER)


def llama_index(url):
    from llama_index.core.llms import ChatMessage
    from llama_index.storage.chat_store.redis import RedisChatStore

    store = RedisChatStore(redis_url=url)
    store.add_message("li:1", ChatMessage(QUESTION))
    store.add_message("li:1", ChatMessage(ANSWER, role="assistant"))


async def openai_agents(url):
    from agents.extensions.memory.redis_session import RedisSession

    session = RedisSession.from_url("oa:1", url=url)
    call = {"type": "function_call", "call_id": "t1", "name": "find", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "t1", "output": "In the tower."}
    asked, said = {"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}
    await session.add_items([asked, call, output, said])
    await session.close()


async def agent_framework(url):
    from agent_framework import Message
    from agent_framework_redis import RedisHistoryProvider

    provider = RedisHistoryProvider(redis_url=url, application_id="app", tenant_id="t|1")
    said = [Message("user", [QUESTION]), Message("assistant", [ANSWER])]
    await provider.save_messages("af:1", said)


def agno(url):
    from agno.db.redis import RedisDb
    from agno.models.message import Message
    from agno.run.agent import RunOutput, RunStatus
    from agno.session import AgentSession

    said = [Message(role="system", content="Be brief."), Message(role="user", content=QUESTION)]
    said.append(Message(role="assistant", content=ANSWER))
    about = {"session_id": "ag:1", "user_id": "ann", "agent_id": "a"}
    run = RunOutput(run_id="r1", messages=said, status=RunStatus.completed, **about)
    db = RedisDb(db_url=url)
    db.upsert_session(AgentSession(session_data={"session_name": "Lamps"}, **about))
    db.upsert_run(run, "ag:1")


if __name__ == "__main__":
    for write in (langchain, langgraph, redisvl, llama_index, agno):
        write(sys.argv[1])
    for awrite in (openai_agents, agent_framework):
        asyncio.run(awrite(sys.argv[1]))
