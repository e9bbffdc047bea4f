"""The pages about one conversation or one index, whatever Redis does: never a 500."""

from django.test import TestCase
from redis.backoff import NoBackoff
from redis.retry import Retry

from conversation_memory import Artifact, Run

from .admin import AdminMixin
from .servers import ServerTestCase, free_port, peer

BLOB = Artifact(b"12345", type="BlobArtifact", id="blob", name="notes.txt")


class FailuresTests(AdminMixin, ServerTestCase, TestCase):
    entry = {"OPTIONS": {"socket_timeout": 0.1, "retry": Retry(NoBackoff(), 0)}}

    def setUp(self):
        super().setUp()
        self.index.driver("c1", owner="7").store([Run("question", BLOB, id="r1")])
        page = self.client.get(self.url("conversation_change", self.address("c1")))
        (entry,) = page.context["transcript"].entries
        key, index = self.address("c1"), self.address()
        self.index.driver("c1").begin("open", run_id="r2")
        page = self.client.get(self.url("conversation_change", self.address("c1")))
        fail_url = page.context["unfinished"][0].fail_url
        form = {"title": "new", "owner": "8", "metadata": "{}", "expires_0": "", "expires_1": ""}
        self.reads = {
            self.url("conversation_change", key): {},
            self.url("conversation_raw", key): {},
            entry.raw_url: {},
            entry.messages[1].shown.url: {},
            entry.remove_url: {},
            fail_url: {},
            self.url("conversation_erase", index): {"owner": "7"},
            self.url("conversation_restore", index): {},
        }
        many = {"action": "set_owner", "_selected_action": str(key), "confirmed": "yes"}
        self.writes = {
            self.url("conversation_changelist"): {**many, "value": "8"},
            entry.remove_url: {},
            fail_url: {"reason": "Gone."},
            self.url("conversation_change", key): form,
            self.url("conversation_erase", index): {"owner": "7", "confirmed": "yes"},
        }

    def check_reads(self, says, *, least=4):
        """Each page says what is wrong, or needs no Redis."""
        told = 0
        for url, query in self.reads.items():
            with self.subTest(url=url):
                response = self.client.get(url, query)
                assert response.status_code in (200, 403, 503), response.status_code
                told += says in response.content.decode()
        assert told >= least, told

    def check_writes(self, says, *, most=True):
        """Each write that fails is a message."""
        told = 0
        for url, data in self.writes.items():
            with self.subTest(url=url):
                response = self.client.post(url, data, follow=True)
                assert response.status_code in (200, 503), response.status_code
                told += says in response.content.decode()
        assert told == len(self.writes) if most else told, told

    def check(self, says):
        self.check_reads(says)
        self.check_writes(says)

    def moved(self, url):
        entry = {"URL": url, "INDEX": self.index.name, **self.entry}
        return self.settings(REDIS={"default": entry})

    def test_nobody_listens(self):
        with self.moved(f"redis://127.0.0.1:{free_port()}"):
            self.check("cannot be reached")
            url = self.url("conversation_owner_data", self.address())
            response = self.client.post(url, {"owner": "7"}, follow=True)
            assert response.status_code == 503
            assert "cannot be reached" in response.content.decode()

    def test_it_hangs(self):
        with self.stopped():
            self.check("did not answer in time")

    def test_it_is_loading(self):
        with peer(b"-LOADING Redis is loading the dataset in memory\r\n") as port:
            with self.moved(f"redis://127.0.0.1:{port}"):
                self.check("is starting and loading its data")

    def test_it_lacks_a_command(self):
        with peer(b"-ERR unknown command 'HELLO'\r\n") as port:
            with self.moved(f"redis://127.0.0.1:{port}"):
                self.check("Redis of alias &#x27;default&#x27;")

    def test_the_password_is_wrong(self):
        with self.moved(self.server.url.replace("://", "://nobody:wrong@")):
            self.check("rejects the user name or the password")

    def test_nothing_is_permitted(self):
        with self.moved(self.user("-@all", "+hello", "+client")):
            self.check("denies this user")

    def test_reading_only_is_permitted(self):
        with self.moved(self.user("~*", "+@read", "+@connection", "+eval", "+evalsha", "+time")):
            before = self.dump()
            self.check_writes("denies this user")
            assert self.dump() == before
            assert self.client.get(next(iter(self.reads))).status_code == 200

    def test_it_is_a_replica(self):
        self.redis.replicaof("127.0.0.1", free_port())
        try:
            before = self.dump()
            self.check_writes("is a read-only replica")
            assert self.dump() == before
            assert self.client.get(next(iter(self.reads))).status_code == 200
        finally:
            self.redis.replicaof("NO", "ONE")

    def test_it_is_full(self):
        with self.config(maxmemory=1, maxmemory_policy="noeviction"):
            # What takes away is permitted then.
            self.check_writes("is out of memory", most=False)

    def test_the_keys_are_of_another_type(self):
        for key, says in (
            (self.index.name, "holds a key of another type"),
            (self.key("record:c1"), "is a string, not a hash"),
        ):
            with self.subTest(key):
                value = self.redis.dump(key)
                self.redis.delete(key)
                self.redis.set(key, "x")
                self.check_reads(says, least=4 if key == self.index.name else 1)
                self.redis.delete(key)
                self.redis.restore(key, 0, value)
