"""Open runs: replies that are written word by word, followed, and taken up again."""

from .index import ReplyingIndex
from .open_runs import Chunk, OpenRun
from .reply import Reply
from .replying import ReplyingDriver
from .views import astream_reply, stream_reply

__all__ = [
    "Chunk",
    "OpenRun",
    "Reply",
    "ReplyingDriver",
    "ReplyingIndex",
    "astream_reply",
    "stream_reply",
]
