"""Messages of pydantic-ai for tests, and a model of its conversation stores in steps."""

from datetime import UTC, datetime

from hypothesis import strategies as st
from pydantic_ai import DeferredToolRequests
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationConflict
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    BinaryImage,
    DocumentUrl,
    FilePart,
    ImageUrl,
    ModelRequest,
    ModelResponse,
    NativeToolCallPart,
    NativeToolReturnPart,
    RetryFeedbackPart,
    RetryInfo,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.usage import RunUsage

from ..strategies import texts

TIME = datetime(2026, 11, 26, tzinfo=UTC)


def asked(*parts):
    return ModelRequest(parts=[*parts])


def prompt(content):
    return asked(UserPromptPart(content, timestamp=TIME))


def answered(*parts):
    parts = [TextPart(part) if isinstance(part, str) else part for part in parts]
    return ModelResponse(parts=parts, timestamp=TIME)


PICTURE = BinaryImage(b"abc", media_type="image/png")
RICH = [
    asked(
        SystemPromptPart("Be brief.", timestamp=TIME),
        UserPromptPart(["What?", ImageUrl(url="https://example.org/a.png")], timestamp=TIME),
        UserPromptPart([DocumentUrl(url="https://example.org/a.pdf"), PICTURE], timestamp=TIME),
    ),
    answered(
        ThinkingPart("Hm.", signature="s"),
        ToolCallPart("look", {"at": [1, None]}, "c1"),
        ToolCallPart("look", '{"at": 2}', "c2"),
    ),
    asked(
        ToolReturnPart("look", {"seen": [1.5, True]}, "c1", timestamp=TIME),
        ToolReturnPart("look", "A lamp.", "c2", outcome="failed", timestamp=TIME),
    ),
    answered("A lantern."),
    asked(
        RetryFeedbackPart("Say lamp.", retry=RetryInfo(cause="validation_error"), timestamp=TIME)
    ),
    answered(
        NativeToolCallPart("web_search", {"q": "lamp"}, "n1", provider_name="x"),
        NativeToolReturnPart("web_search", {"r": 1}, "n1", provider_name="x", timestamp=TIME),
        FilePart(PICTURE),
        "It is a lamp.",
    ),
]

requests = st.builds(prompt, texts) | st.sampled_from(RICH[::2])
responses = st.builds(answered, texts) | st.sampled_from(RICH[1::2])
turns = st.lists(requests | responses, min_size=1, max_size=3)
keys = st.sampled_from(["a", "b"])
numbers = st.integers(0, 6)
scopes = st.sampled_from([None, "ann", "bob"])
steps = st.lists(
    st.tuples(st.just("save"), keys, turns, st.sampled_from([None, 1, 3]), st.booleans())
    | st.tuples(st.just("stale"), keys, turns)
    | st.tuples(st.just("rewrite"), keys, numbers, turns)
    | st.tuples(st.just("branch"), keys, numbers)
    | st.tuples(st.just("return"), keys, numbers)
    | st.tuples(st.just("fork"), keys, st.sampled_from(["b", "c"]), numbers | st.none(), scopes)
    | st.tuples(st.just("delete"), keys, scopes)
    | st.tuples(st.just("new"), keys, turns, scopes)
    | st.tuples(st.just("load"), keys, st.integers(0, 5), scopes),
    max_size=10,
)


class Actor:
    """Does steps to a store. Ids of entries are told as numbers, as each store makes its own."""

    def __init__(self, store):
        self.store = store
        self.names = {}

    async def do(self, step):
        """What a step returns, or the type of the error that it raises."""
        try:
            return await getattr(self, f"do_{step[0]}")(*step[1:])
        except (UserError, ConversationConflict) as error:
            return type(error)

    async def do_save(self, key, turn, limit, pauses):
        conversation = await self.store.load(key, limit=limit)
        conversation = conversation or Conversation(conversation_id=key)
        conversation.messages += turn
        conversation.usage = conversation.usage + RunUsage(requests=1)
        calls = DeferredToolRequests(calls=[ToolCallPart("look", {"at": 1}, "c1")])
        conversation.deferred_tool_requests = calls if pauses else None
        return self.named(await self.store.save(conversation))

    async def do_stale(self, key, turn):
        conversation = await self.store.load(key)
        other = await self.store.load(key)
        if conversation is None:
            return None
        await self.store.save(other)
        conversation.messages += turn
        return self.named(await self.store.save(conversation))

    async def do_rewrite(self, key, number, turn):
        conversation = await self.store.load(key)
        if conversation is None:
            return None
        conversation.messages[number:] = turn
        return self.named(await self.store.save(conversation))

    async def do_branch(self, key, number):
        loaded = await self.store.load(key)
        revision = loaded.revision if loaded else None
        return self.told(await self.store.branch(key, at=number, expected_revision=revision))

    async def do_return(self, key, number):
        record = await self.store.read_record(key)
        if record is None or not record.branches:
            return None
        tip = record.branches[number % len(record.branches)]
        revision = record.revision
        found = await self.store.branch(key, from_entry=str(tip), expected_revision=revision)
        return self.told(found)

    async def do_fork(self, key, new, number, scope):
        found = await self.store.fork(key, at=number, new_conversation_id=new, scope=scope)
        return self.told(found)

    async def do_delete(self, key, scope):
        await self.store.delete(key, scope=scope)

    async def do_new(self, key, turn, scope):
        conversation = Conversation(conversation_id=key, messages=[*turn])
        return self.named(await self.store.save(conversation, scope=scope))

    async def do_load(self, key, limit, scope):
        return self.named(await self.store.load_entries(key, limit=limit, scope=scope))

    async def state(self):
        """Everything in the store that can be seen from outside."""
        found = {}
        for record in await self.store.list_conversations():
            key = record.conversation_id
            found[key] = [
                self.told(await self.store.load(key)),
                self.named(await self.store.load_entries(key)),
                [self.named(await self.store.read_history(tip)) for tip in record.branches],
                (record.scope, record.forked_from, self.name(record.forked_at)),
            ]
        for scope in ("ann", "bob", "eve"):
            listed = await self.store.list_conversations(scope=scope)
            found[scope] = {record.conversation_id for record in listed}
        return found

    def told(self, conversation):
        return conversation and (
            conversation.messages,
            conversation.usage,
            conversation.deferred_tool_requests,
        )

    def named(self, entries):
        return entries and [
            (self.name(one.id), self.name(one.parent_id), one.message) for one in entries
        ]

    def name(self, id):
        return None if id is None else self.names.setdefault(str(id), len(self.names))
