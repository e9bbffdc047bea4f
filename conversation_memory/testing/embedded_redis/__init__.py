"""A real Redis for development and tests, with RediSearch, started by the process that uses it.

with EmbeddedRedis() as redis:
    client = Redis.from_url(redis.url)

with redis_server() as url:     # the Redis at REDIS_URL, or else an EmbeddedRedis
    ...

url = shared_redis(Path(".redis"))     # one for all processes that name this folder
"""

from .fetch import EmbeddedRedisError
from .server import EmbeddedRedis, is_in_use, redis_server
from .shared import shared_redis

__all__ = ["EmbeddedRedis", "EmbeddedRedisError", "is_in_use", "redis_server", "shared_redis"]
