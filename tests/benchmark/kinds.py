"""The memories that the workloads compare: a floor, ours, and other libraries.

A run is a question of 120 characters and an answer of 600. The floor is the fastest that bare
redis-py, hiredis and orjson do for it: two plain messages in a Redis list.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import orjson
import redis

from conversation_memory import Run
from conversation_memory.conf import IndexSettings
from conversation_memory.indexes import ConversationIndex

PROSE = "The lighthouse keeper wrote down the weather, and compared it with what the sea had done. "
QUESTION, ANSWER = (PROSE * 2)[:120], (PROSE * 7)[:600]
TEXT = len(QUESTION) + len(ANSWER)


class Floor:
    """Two messages of each run in a list."""

    name = "floor"

    def __init__(self, url: str):
        self.client = redis.Redis.from_url(url)

    def key(self, id: str) -> str:
        return f"workloads:floor:{id}"

    def append(self, id: str) -> None:
        asked = orjson.dumps({"role": "user", "content": QUESTION})
        answered = orjson.dumps({"role": "assistant", "content": ANSWER})
        self.client.rpush(self.key(id), asked, answered)

    def load(self, id: str, first: int = 0) -> list[str]:
        texts = self.client.lrange(self.key(id), first, -1)
        return [orjson.loads(text)["content"] for text in texts]

    def tail(self, id: str) -> list[str]:
        return self.load(id, -40)

    def fill(self, id: str, size: int) -> None:
        asked = orjson.dumps({"role": "user", "content": QUESTION})
        answered = orjson.dumps({"role": "assistant", "content": ANSWER})
        for start in range(0, size, 500):
            self.client.rpush(self.key(id), *[asked, answered] * min(500, size - start))

    def ids(self) -> list[bytes]:
        return list(self.client.scan_iter("workloads:floor:*", count=10_000))

    def clear(self) -> None:
        for key in self.client.scan_iter("workloads:*", count=10_000):
            self.client.delete(key)


class Ours:
    def __init__(self, url: str, layout: str):
        self.name = f"ours, {layout}"
        entry: dict[str, Any] = {"alias": layout, "index": f"workloads-{layout}", "url": url}
        self.index = ConversationIndex(IndexSettings(layout=layout, **entry))
        self.client = redis.Redis.from_url(url)

    def append(self, id: str) -> None:
        self.index.driver(id).append(Run(QUESTION, ANSWER))

    def load(self, id: str) -> list[str]:
        runs, _ = self.index.driver(id).load()
        return [text for run in runs for text in (run.input.text, run.output.text)]

    def tail(self, id: str) -> list[str]:
        runs = self.index.driver(id).tail(20)
        return [text for run in runs for text in (run.input.text, run.output.text)]

    def page(self, id: str) -> list[str]:
        driver = self.index.driver(id)
        runs = driver.page(before=driver.record().runs // 2, limit=20)
        return [text for run in runs for text in (run.input.text, run.output.text)]

    def fill(self, id: str, size: int) -> None:
        self.index.driver(id).store([Run(QUESTION, ANSWER) for _ in range(size)], {})

    def ids(self) -> list[str]:
        return list(self.index)

    def clear(self) -> None:
        name = self.index.name
        self.client.delete(name, *self.client.scan_iter(f"{{{name}}}:*", count=10_000))


class OpenAIAgents:
    """RedisSession of openai-agents."""

    name = "OpenAI Agents"

    def __init__(self, url: str):
        import redis.asyncio

        self.client = redis.asyncio.Redis.from_url(url)
        self.sync = redis.Redis.from_url(url)

    def session(self, id: str) -> Any:
        from agents.extensions.memory import RedisSession

        return RedisSession(id, redis_client=self.client, key_prefix="workloads:agents")

    async def append(self, id: str) -> None:
        items = [
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": ANSWER},
        ]
        await self.session(id).add_items(items)

    async def load(self, id: str, limit: int | None = None) -> list[str]:
        return [item["content"] for item in await self.session(id).get_items(limit)]

    async def tail(self, id: str) -> list[str]:
        return await self.load(id, 40)

    async def fill(self, id: str, size: int) -> None:
        for start in range(0, size, 500):
            items = [
                {"role": "user", "content": QUESTION},
                {"role": "assistant", "content": ANSWER},
            ]
            await self.session(id).add_items(items * min(500, size - start))

    def clear(self) -> None:
        for key in self.sync.scan_iter("workloads:*", count=10_000):
            self.sync.delete(key)


class LlamaIndex:
    """RedisChatStore of llama-index."""

    name = "LlamaIndex"

    def __init__(self, url: str):
        from llama_index.storage.chat_store.redis import RedisChatStore

        self.store = RedisChatStore(redis_url=url)
        self.client = redis.Redis.from_url(url)

    def messages(self) -> list[Any]:
        from llama_index.core.llms import ChatMessage

        return [
            ChatMessage(role="user", content=QUESTION),
            ChatMessage(role="assistant", content=ANSWER),
        ]

    def append(self, id: str) -> None:
        for message in self.messages():
            self.store.add_message(f"workloads:llama:{id}", message)

    def load(self, id: str) -> list[str]:
        return [message.content for message in self.store.get_messages(f"workloads:llama:{id}")]

    def tail(self, id: str) -> list[str]:
        return self.load(id)[-40:]

    def fill(self, id: str, size: int) -> None:
        texts = [message.model_dump_json() for message in self.messages()]
        for start in range(0, size, 500):
            self.client.rpush(f"workloads:llama:{id}", *texts * min(500, size - start))

    def clear(self) -> None:
        for key in self.client.scan_iter("workloads:*", count=10_000):
            self.client.delete(key)


class RedisVL:
    """MessageHistory of redisvl, which needs RediSearch."""

    name = "redisvl"

    def __init__(self, url: str):
        self.url = url

    @cached_property
    def history(self) -> Any:
        from redisvl.extensions.message_history import MessageHistory

        return MessageHistory("workloads-redisvl", redis_url=self.url)

    def append(self, id: str) -> None:
        self.history.store(QUESTION, ANSWER, session_tag=id)

    def load(self, id: str, count: int = 20_000) -> list[str]:
        found = self.history.get_recent(top_k=count, session_tag=id)
        return [message["content"] for message in found]

    def tail(self, id: str) -> list[str]:
        return self.load(id, 40)

    def fill(self, id: str, size: int) -> None:
        for _ in range(size):
            self.append(id)

    def clear(self) -> None:
        self.history.delete()
        del self.history  # which makes its index when it is made
