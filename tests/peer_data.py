"""What other libraries have written to Redis: keys and values as they stood, but for long ids.

tests/write_as_peers.py writes the same with the libraries themselves.
"""

import json

LISTS = {
    "agents:session:oa:1:messages": [
        {"role": "user", "content": "Where is the lamp?"},
        {"type": "function_call", "call_id": "t1", "name": "find", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "t1", "output": "In the tower."},
        {"role": "assistant", "content": "It is in the tower."},
    ],
    # The newest message first.
    "message_store:s:1": [
        {"type": "human", "data": {"content": "Thanks", "type": "human", "id": None}},
        {
            "type": "ai",
            "data": {"content": "It is in the tower.", "type": "ai", "tool_calls": []},
        },
        {
            "type": "tool",
            "data": {"content": "In the tower.", "type": "tool", "tool_call_id": "t1"},
        },
        {
            "type": "ai",
            "data": {
                "content": "",
                "type": "ai",
                "tool_calls": [
                    {"name": "find", "args": {"thing": "lamp"}, "id": "t1", "type": "tool_call"}
                ],
            },
        },
        {"type": "human", "data": {"content": "Where is the lamp?", "type": "human"}},
        {"type": "system", "data": {"content": "Be brief.", "type": "system"}},
    ],
    "li:1": [
        {
            "role": "user",
            "additional_kwargs": {},
            "blocks": [{"block_type": "text", "text": "Where is the lamp?"}],
        },
        {
            "role": "assistant",
            "additional_kwargs": {},
            "blocks": [{"block_type": "text", "text": "It is in the tower."}],
        },
    ],
    "chat_messages|v2|~redis-tenant-or6dc|app|~none|redis_memory|~redis-session-mftdumi": [
        {
            "type": "message",
            "role": "user",
            "contents": [{"type": "text", "text": "Where is the lamp?"}],
        },
        {
            "type": "message",
            "role": "assistant",
            "contents": [{"type": "text", "text": "It is in the tower."}],
        },
    ],
}
HASHES = {
    "agents:session:oa:1": {
        "session_id": "oa:1",
        "created_at": "1795738327",
        "updated_at": "1795738400",
    },
    "lamps:s1:1795738318.8221955:7c5845bd": {
        "entry_id": "s1:1795738318.8221955:7c5845bd",
        "role": "user",
        "content": "Where is the lamp?",
        "session_tag": "s1",
        "timestamp": "1795738318.8221955",
    },
    "lamps:s1:1795738318.8222358:42ceb24d": {
        "entry_id": "s1:1795738318.8222358:42ceb24d",
        "role": "llm",
        "content": "It is in the tower.",
        "session_tag": "s1",
        "timestamp": "1795738318.8222358",
    },
}
_RUN = {
    "run_id": "r1",
    "session_id": "ag:1",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi", "from_history": True},
        {"role": "assistant", "content": "Hello", "from_history": True},
        {"role": "user", "content": "Where is the lamp?"},
        {"role": "assistant", "content": "It is in the tower."},
    ],
}
STRINGS = {
    "agno:sessions:ag:1": {
        "session_id": "ag:1",
        "user_id": "ann",
        "session_data": {"session_name": "Lamps"},
        "created_at": 1795738328,
        "updated_at": 1795738329,
    },
    "agno:runs:r1": {"run_id": "r1", "parent_run_id": None, "run_data": _RUN},
    "checkpoint_latest:lg:1:__empty__": "checkpoint:lg:1:__empty__:2",
}
ORDERS = {"agno:runs:by_session:ag:1": {"r1": 0}}


def _lc(name, **kwargs):
    return {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "messages", name],
        "kwargs": kwargs,
    }


DOCUMENTS = {
    "chat:lr:1:01M8D5GDYHVMAQS5VQAW18A4FN": {
        "type": "human",
        "data": {"content": "Where is the lamp?", "additional_kwargs": {}, "type": "human"},
        "session_id": "lr:1",
        "timestamp": 1795738318.80196,
    },
    "chat:lr:1:01M8D5GDYJWQH6CDK9QKSJDS21": {
        "type": "ai",
        "data": {"content": "It is in the tower.", "additional_kwargs": {}, "type": "ai"},
        "session_id": "lr:1",
        "timestamp": 1795738318.802005,
    },
    "checkpoint:lg:1:__empty__:2": {
        "thread_id": "lg:1",
        "checkpoint": {
            "ts": "2026-11-27T00:12:09.629690+00:00",
            "channel_values": {
                "messages": [
                    _lc("HumanMessage", content="Where is the lamp?", type="human", id="h"),
                    _lc("AIMessage", content="It is in the tower.", type="ai", id="a"),
                ]
            },
        },
    },
}


def write(redis, *, with_documents=False):
    """Write it, and documents too if the server has RedisJSON."""
    for key, messages in LISTS.items():
        redis.rpush(key, *map(json.dumps, messages))
    for key, fields in HASHES.items():
        redis.hset(key, mapping=fields)
    for key, value in STRINGS.items():
        redis.set(key, value if isinstance(value, str) else json.dumps(value))
    for key, scores in ORDERS.items():
        redis.zadd(key, scores)
    for key, document in DOCUMENTS.items() if with_documents else ():
        redis.execute_command("JSON.SET", key, "$", json.dumps(document))
