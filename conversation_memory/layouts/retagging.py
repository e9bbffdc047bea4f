"""The search documents of conversations that get another owner."""

from collections.abc import Sequence
from typing import Any

from ..keys import NO_CALL, Keys
from ..redis_io.operations import Command, Operation
from ..redis_io.scripts import Script
from ..search_index.run_documents import fresh_token

RETAG = Script("retag")


def retag(keys: Keys, moved: Sequence[tuple[bytes, bytes | None, Any]]) -> Operation[None]:
    """Go on where owner.lua has replied that there are many documents: id, new owner, reply."""
    for id, owner, reply in moved:
        cursor = b"0" if isinstance(reply, bytes) else None
        while cursor is not None:
            version, _, schema = reply.partition(b" ")
            args = [id, owner or b"", cursor, version, schema, fresh_token()]
            cursor = yield Command((RETAG.call(keys.of(id, owner, NO_CALL), args),))
            cursor = None if cursor == b"0" else cursor
