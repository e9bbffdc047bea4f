import os

from redis import Redis

from .programs import program_at
from .servers import ServerTestCase

FACTS = ("executable", "redis_version", "server_name", "valkey_version")


class ProgramTests(ServerTestCase):
    def test_the_server_of_a_test_is_of_the_program_of_the_first(self):
        with Redis.from_url(os.environ["REDIS_URL"]) as client:
            first, own = client.info("server"), self.redis.info("server")
        assert [first.get(key) for key in FACTS] == [own.get(key) for key in FACTS]
        assert program_at(self.server.url) == own["executable"]
