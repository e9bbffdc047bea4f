"""Encrypted indexes with SEARCH, and what of them can be read in Redis."""

from contextlib import contextmanager

from .encrypting import EncryptedTestCase, encryption
from .searching import Settled, settled

WORDS = {"input": "lighthouse", "output": "promontory", "topic": "refunds", "note": "anchor"}
WORDS |= {"title": "harbour", "meta": "compass", "tool": "sextant"}

FIELDS = {"topic": "tag", "note": "text", "score": "numeric"}
NOTHING = {"FIELDS": {"topic": "tag"}, "STORED_UNENCRYPTED": []}
SOME = {"FIELDS": FIELDS, "STORED_UNENCRYPTED": ["input", "note", "score"]}
MOST = {"FIELDS": FIELDS, "STORED_UNENCRYPTED": ["input", "output", "note", "score"]}


class EncryptedSearchCase(Settled, EncryptedTestCase):
    """An index with the key `a`, of which search documents hold the words of inputs and outputs."""

    entry: dict[str, object] = {"ENCRYPTION": encryption("a"), "SEARCH": MOST}

    @contextmanager
    def searched(self, *letters, search, **others):
        """The same index for a process with other keys and another SEARCH."""
        entry = {"SEARCH": search, **others.pop("entry", {})}
        with self.keys_are(*letters, entry=entry, **others) as index:
            settled(index.search_state)
            yield index

    def readable(self):
        """What of WORDS stands in Redis: in a key, in its raw bytes, or in RediSearch."""
        parts = [repr(self.everything())]
        parts += [repr(self.redis.dump(name)) for name in self.keys()]
        parts += [repr([*self.of_redisearch(name)]) for name in self.definitions()]
        text = " ".join(parts).lower()
        return {part for part, word in WORDS.items() if word in text}

    def definitions(self):
        start = f"{{{self.index.name}}}:".encode()
        return [name for name in self.redis.execute_command("FT._LIST") if name.startswith(start)]

    def of_redisearch(self, name):
        """Everything that RediSearch returns of an index."""
        execute = self.redis.execute_command
        yield execute("FT.INFO", name)
        yield execute("FT.SEARCH", name, "*", "LIMIT", 0, 1000)
        for field in ("c", "o", "tag_topic", "digest_topic"):
            with self.subTest(field):
                if field in repr(execute("FT.INFO", name)):
                    yield execute("FT.TAGVALS", name, field)
        for word in WORDS.values():
            yield execute("FT.SEARCH", name, word, "DIALECT", 2)
            yield execute("FT.SPELLCHECK", name, f"{word[:-1]}z", "DISTANCE", 1)

    def documents(self):
        """The search documents by key."""
        names = {name for name in self.keys() if b":run:" in name}
        return {name: self.redis.hgetall(name) for name in names}
