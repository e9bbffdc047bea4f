"""An index over several shards, each of which is an index of its own (SHARDS)."""

from .sharded_index import ShardedIndex

__all__ = ["ShardedIndex"]
