"""Keys and indexes for the tests of encryption."""

from base64 import b64encode
from contextlib import contextmanager
from importlib.util import find_spec

from django.conf import settings

from conversation_memory import indexes

from .utils import RedisTestCase

HAS_CRYPTOGRAPHY = find_spec("cryptography") is not None


def key(letter, id=None):
    """An entry of KEYS whose key is made of one letter."""
    return {"id": id or letter, "key": b64encode(letter.encode() * 32).decode()}


def encryption(*letters, **others):
    """A key of each letter, newest first; of a pair, under the id that is the second of them."""
    return {"KEYS": [key(*letter) for letter in letters], **others}


class EncryptedTestCase(RedisTestCase):
    """Its index has the key `a`."""

    entry: dict[str, object] = {"ENCRYPTION": encryption("a")}

    @contextmanager
    def keys_are(self, *letters, **others):
        """The same index for a process with other keys; without letters, with none."""
        entry = {**settings.REDIS["default"], **others.pop("entry", {})}
        entry["ENCRYPTION"] = encryption(*letters, **others) if letters else None
        with self.settings(REDIS={"default": entry}):
            yield indexes["default"]

    def everything(self):
        """The stored bytes of every key of the index, under the names of keys and fields."""
        return {name: self.dumped(name) for name in self.keys()}

    def dumped(self, name):
        kind = self.redis.type(name)
        if kind == b"hash":
            return self.redis.hgetall(name)
        if kind == b"list":
            return self.redis.lrange(name, 0, -1)
        if kind == b"stream":
            return self.redis.xrange(name)
        if kind == b"zset":
            return self.redis.zrange(name, 0, -1, withscores=True)
        if kind == b"set":
            return self.redis.smembers(name)
        return self.redis.get(name)
