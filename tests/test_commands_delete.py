import time

from conversation_memory import Run
from conversation_memory.management.exit_codes import Exit

from .commands import called, fails
from .servers import ServerTestCase
from .utils import RedisTestCase, each_layout


def run(id="a"):
    return Run("a question", "an answer", id=id)


def deleted(*args, **options):
    return called("deleteconversations", *args, **options)


@each_layout
class DeleteTests:
    def setUp(self):
        super().setUp()
        for number in range(4):
            self.index.driver(number, owner=f"user{number % 2}").append(run())

    def left(self):
        return sorted(self.index)

    def test_says_what_it_would_delete_and_asks(self):
        size = sum(map(len, self.index.raw("1")))
        with fails(Exit.FAILED, "Nothing was deleted."):
            deleted("1", answer="no")
        assert self.left() == [*"0123"]
        out, _ = deleted("1", answer="yes")
        counts = f"default: 1 conversation, 1 run, {size:,} bytes"
        assert out == f"{counts} to delete\n{counts} deleted\n"
        assert self.left() == [*"023"]

    def test_does_not_ask_if_it_shall_not(self):
        out, _ = deleted("1", "2", "--no-input")
        assert out.startswith("default: 2 conversations, 2 runs, ")
        assert out.count("\n") == 1
        assert self.left() == [*"03"]
        assert deleted("0", interactive=False, verbosity=0) == ("", "")

    def test_a_dry_run_only_counts(self):
        assert "4 conversations" in deleted("--all", "--dry-run")[0]
        assert self.left() == [*"0123"]

    def test_by_owner_and_age(self):
        deleted("--owner", "user0", "--no-input")
        assert self.left() == [*"13"]
        deleted("--until", "1h", "--no-input")
        assert self.left() == [*"13"]
        deleted("--owner", "user1", "--since", "1h", "--no-input")
        assert self.left() == []

    def test_everything_has_to_be_asked_for(self):
        for args in ((), ("--all", "1"), ("--all", "--owner", "user0"), ("1", "--until", "0s")):
            with self.subTest(args), fails(Exit.FAILED):
                deleted(*args, "--no-input")
        with fails(Exit.FAILED, "--all"):
            deleted("--no-input")
        assert self.left() == [*"0123"]
        deleted("--all", "--no-input")
        assert self.keys() == set()

    def test_counts_those_that_do_not_exist(self):
        for option in ("--dry-run", "--no-input"):
            _, err = deleted("1", "none", "nor this", option)
            assert err == "Not found: 2 of the given ids.\n", option

    def test_names_what_stays_as_its_age_is_not_certain(self):
        self.put("theirs", b'{"runs": [], "metadata": {}}')
        self.index.adopt()
        time.sleep(0.002)
        out, err = deleted("--until", "0s", "--no-input")
        assert out.startswith("default: 4 conversations")
        assert err.startswith("Skipped: 1, which another program")
        assert self.left() == ["theirs"]

    def test_what_cannot_be_read_is_deleted_if_it_is_named(self):
        self.put("bad", b"no JSON")
        deleted("bad", "--no-input")
        assert self.left() == [*"0123"]


class FailureTests(ServerTestCase):
    def test_a_replica_has_a_code_and_keeps_everything(self):
        self.index.driver("1").append(run())
        self.redis.replicaof("localhost", 1)
        try:
            with fails(Exit.READ_ONLY, "read-only"):
                deleted("--all", "--no-input")
        finally:
            self.redis.replicaof("NO", "ONE")
        assert self.index.count() == 1

    def test_a_user_without_permission_has_a_code(self):
        self.index.driver("1").append(run())
        entry = {
            "URL": self.user("~*", "+@read", "+@connection", "+@scripting"),
            "INDEX": self.index.name,
        }
        with self.settings(REDIS={"default": entry}):
            with fails(Exit.DENIED, "denies"):
                deleted("--all", "--no-input")

    def test_a_key_of_another_type_has_a_code(self):
        self.redis.set(self.index.name, "text")
        for name in ("listconversations", "deleteconversations"):
            with fails(Exit.MISCONFIGURED, "another type"):
                called(name, *(["--all", "--no-input"] if name.startswith("del") else []))


class AliasTests(RedisTestCase):
    def test_using_names_the_index(self):
        other = {**self.entry, "URL": self.redis_url(), "INDEX": f"{self.index.name}-2"}
        with self.settings(REDIS={"other": other, "default": other}):
            assert deleted("--all", "--no-input", using="other")[0].startswith("other: 0 conv")

    def redis_url(self):
        return self.index.settings.url
