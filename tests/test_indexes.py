import time
from uuid import UUID, uuid4

import pytest
from redis.exceptions import ResponseError

from conversation_memory import Run, indexes
from conversation_memory.exceptions import RedisMisconfigured, translate
from conversation_memory.redis_io.operations import Command, perform

from .utils import RedisTestCase, both, each_layout, monitored

STOCK = b'{"runs": [], "metadata": {}}'


def run():
    return Run("a question", "an answer")


def ids(page):
    return [record.conversation_id for record in page]


def write(index, *conversation_ids, owner=None):
    """One run to each conversation, a later millisecond for each."""
    for conversation_id in conversation_ids:
        index.driver(conversation_id, owner=owner).append(run())
        time.sleep(0.002)


def pages(index, limit, **kwargs):
    page = index.recent(limit, **kwargs)
    yield page
    while page.next:
        page = index.recent(limit, before=page.next, **kwargs)
        yield page


def paged_ids(index, limit, **kwargs):
    return [id for page in pages(index, limit, **kwargs) for id in ids(page)]


@each_layout
class CountTests:
    @both
    def test_of_an_empty_index_is_zero(self, index):
        assert index.count() == index.count("ann") == 0

    @both
    def test_counts_conversations_and_not_runs(self, index):
        write(index, "1", "2", "2")
        assert index.count() == 2

    @both
    def test_counts_those_of_an_owner(self, index):
        write(index, "1", "2", owner="ann")
        write(index, "3", owner=7)
        write(index, "4")
        assert [index.count(owner) for owner in ("ann", 7, "bob", None)] == [2, 1, 0, 4]

    @both
    def test_goes_down_with_a_deletion(self, index):
        write(index, "1", "2", owner="ann")
        index.driver("1").delete()
        assert (index.count(), index.count("ann")) == (1, 1)


@each_layout
class RecentTests:
    @both
    def test_of_an_empty_index_is_an_empty_page(self, index):
        page = index.recent()
        assert (list(page), len(page), page.next, page.unlisted) == ([], 0, None, 0)

    @both
    def test_is_newest_first(self, index):
        write(index, "1", "2", "3", "1")
        assert ids(index.recent()) == ["1", "3", "2"]

    @both
    def test_every_write_makes_a_conversation_the_newest(self, index):
        write(index, "1", "2")
        for change in (
            lambda driver: driver.store([], {}),
            lambda driver: driver.update_metadata({"k": "v"}),
            lambda driver: driver.append(run()),
        ):
            time.sleep(0.002)
            oldest = ids(index.recent())[-1]
            change(index.driver(oldest))
            assert ids(index.recent())[0] == oldest

    @both
    def test_a_page_knows_the_records(self, index):
        write(index, "42", owner="ann")
        index.driver("42").set_title("Refund")
        record = index.recent()[0]
        assert record == index.driver("42").record()
        assert (record.owner, record.title, record.runs) == ("ann", "Refund", 1)

    @both
    def test_a_page_has_at_most_the_limit(self, index):
        write(index, *"12345")
        assert [ids(page) for page in pages(index, 2)] == [["5", "4"], ["3", "2"], ["1"]]

    @both
    def test_the_last_page_may_be_full(self, index):
        write(index, *"1234")
        assert paged_ids(index, 2) == ["4", "3", "2", "1"]
        assert [*pages(index, 2)][-1].next is None

    @both
    def test_is_limited_to_an_owner(self, index):
        write(index, *"123", owner="ann")
        write(index, *"45", owner="bob")
        write(index, "6")
        assert paged_ids(index, 2, owner="ann") == ["3", "2", "1"]
        assert paged_ids(index, 2, owner="bob") == ["5", "4"]
        assert paged_ids(index, 2, owner="eve") == []

    @both
    def test_a_limit_below_one_is_refused(self, index):
        for limit in (0, -1):
            with pytest.raises(ValueError, match="at least 1"):
                index.recent(limit)

    @both
    def test_what_is_no_cursor_is_refused(self, index):
        for cursor in ("", "x", "-", "12", "a-b", "1.5-NDI", "nan-NDI", "1-🙂", "1-(", "1-N"):
            with self.subTest(cursor), pytest.raises(ValueError, match="not a cursor"):
                index.recent(before=cursor)

    @both
    def test_a_cursor_of_nowhere_finds_what_is_older(self, index):
        write(index, "1", "2")
        assert ids(index.recent(before="0-NDI")) == []
        assert ids(index.recent(before=f"{10**14}-NDI")) == ["2", "1"]


@each_layout
class CursorTests:
    """The cursor stays right whatever happens to the conversation that it names."""

    @both
    def test_new_conversations_do_not_move_it(self, index):
        write(index, *"1234")
        page = index.recent(2)
        write(index, "5", "6")
        assert ids(index.recent(2, before=page.next)) == ["2", "1"]

    @both
    def test_its_conversation_may_be_written_meanwhile(self, index):
        write(index, *"1234")
        page = index.recent(2)
        write(index, "3")
        assert ids(index.recent(2, before=page.next)) == ["2", "1"]

    @both
    def test_its_conversation_may_be_deleted_meanwhile(self, index):
        write(index, *"1234", owner="ann")
        page = index.recent(2, owner="ann")
        index.driver("3").delete()
        assert ids(index.recent(2, owner="ann", before=page.next)) == ["2", "1"]

    @both
    def test_the_whole_page_may_be_deleted_meanwhile(self, index):
        write(index, *"1234")
        page = index.recent(2)
        index.delete(*ids(page))
        assert ids(index.recent(2, before=page.next)) == ["2", "1"]

    @both
    def test_pages_through_many_of_one_millisecond(self, index):
        self.tie(100)
        found = paged_ids(index, 7)
        assert sorted(found) == sorted(self.ids)

    @both
    def test_pages_through_ties_that_are_written_and_deleted_meanwhile(self, index):
        self.tie(40)
        page = index.recent(10)
        found = ids(page)
        for change in (lambda id: write(index, id), index.delete, lambda id: None):
            change(page[-1].conversation_id)
            page = index.recent(10, before=page.next)
            found += ids(page)
        assert sorted(found) == sorted(self.ids)

    @both
    def test_ids_of_any_bytes_tie(self, index):
        self.tie(0, *(bytes([byte]) for byte in range(256)), b"", b"\xff\xff", "ä🙂".encode())
        assert sorted(paged_ids(index, 5)) == sorted(self.ids)

    def tie(self, count, *others):
        """Conversations that get their place in one script, so with one score."""
        fields = [*(uuid4().hex.encode() for _ in range(count)), *others]
        self.redis.hset(self.index.name, mapping=dict.fromkeys(fields, STOCK))
        self.index.adopt()
        assert len({score for _, score in self.redis.zscan_iter(self.order())}) == 1
        self.ids = [field.decode("utf-8", "surrogateescape") for field in fields]

    def order(self):
        return f"{{{self.index.name}}}:recent"


@each_layout
class AdoptionTests:
    """Conversations of stock drivers have no place in the order until a listing gives them one."""

    def put_many(self, count):
        fields = {f"{number:05}": STOCK for number in range(count)}
        self.redis.hset(self.index.name, mapping=fields)

    @both
    def test_what_others_wrote_is_listed(self, index):
        self.put("42", STOCK)
        page = index.recent()
        assert (ids(page), page.unlisted) == (["42"], 0)
        assert (page[0].created, page[0].updated, page[0].runs) == (None, None, None)

    @both
    def test_what_others_wrote_is_listed_by_a_server_that_forgot_some_scripts(self, index):
        self.redis.script_flush()
        index.recent(owner="ann")
        self.put("42", STOCK)
        assert ids(index.recent()) == ["42"]

    @both
    def test_what_others_wrote_is_not_rewritten(self, index):
        self.put("42", b"{ corrupt")
        index.recent()
        assert self.stored("42") == b"{ corrupt"
        assert self.keys() == {self.index.name.encode(), f"{{{self.index.name}}}:recent".encode()}

    @both
    def test_what_others_wrote_comes_beside_ours(self, index):
        write(index, "1", owner="ann")
        self.put("2", STOCK)
        assert sorted(ids(index.recent())) == ["1", "2"]
        assert ids(index.recent(owner="ann")) == ["1"]

    @both
    def test_what_others_wrote_keeps_its_place(self, index):
        self.put("1", STOCK)
        index.recent()
        time.sleep(0.002)
        write(index, "2")
        self.put("3", STOCK)
        assert ids(index.recent()) == ["3", "2", "1"]

    @both
    def test_ids_that_are_no_utf8_are_listed(self, index):
        self.put(b"\xff\xfe", STOCK)
        [record] = index.recent()
        assert record.conversation_id == "\udcff\udcfe"
        assert index.driver(record.conversation_id).exists()

    @both
    def test_a_page_says_how_many_are_not_listed_yet(self, index):
        self.put_many(12_000)
        found = [index.recent(1).unlisted for _ in range(4)]
        assert 0 < found[0] < 12_000
        assert found == sorted(found, reverse=True)
        assert found[-1] == 0

    @both
    def test_repeated_listings_find_all(self, index):
        self.put_many(12_000)
        while index.recent(1).unlisted:
            pass
        assert len(set(paged_ids(index, 1000))) == 12_000

    @both
    def test_adopt_finds_all_at_once(self, index):
        self.put_many(12_000)
        assert index.adopt() == 12_000
        assert index.recent(1).unlisted == 0
        assert index.adopt() == 0

    @both
    def test_a_listing_adopts_on_servers_before_7_4_too(self, index):
        self.index._listing._novalues = False
        self.put_many(2_000)
        assert index.adopt() == 2_000
        assert index.recent(1).unlisted == 0

    @both
    def test_what_others_wrote_is_listed_although_they_deleted_as_much(self, index):
        write(index, *"123")
        self.redis.hdel(self.index.name, "1")
        self.put("4", STOCK)
        assert ids(index.recent(1)) == ["4"]

    def test_a_user_who_may_only_read_lists_what_is_listed(self):
        write(self.index, "1")
        self.put("2", STOCK)
        page = self.index_of_a_reader().recent()
        assert (ids(page), page.unlisted) == (["1"], 1)

    def test_a_user_who_may_only_read_is_spared_what_is_gone(self):
        write(self.index, "1", "2")
        self.redis.hdel(self.index.name, "1")
        assert ids(self.index_of_a_reader().recent()) == ["2"]

    def index_of_a_reader(self):
        server, name = self.redis.connection_pool.connection_kwargs, uuid4().hex
        self.redis.acl_setuser(
            name, enabled=True, nopass=True, keys="*", categories=["+@read", "+@scripting"]
        )
        self.addCleanup(self.redis.acl_deluser, name)
        entry = {key.upper(): server[key] for key in ("host", "port", "db") if key in server}
        entry |= {"USERNAME": name, "PASSWORD": "any", "INDEX": self.index.name}
        self.enterContext(self.settings(REDIS={"default": {**self.entry, **entry}}))
        return indexes["default"]


@each_layout
class StrangerTests:
    """Others delete fields, and know nothing of our keys."""

    @both
    def test_what_they_deleted_is_not_listed(self, index):
        write(index, "1", "2")
        self.redis.hdel(self.index.name, "1")
        assert ids(index.recent()) == ["2"]
        assert index.count() == 1

    @both
    def test_what_they_deleted_is_not_listed_for_the_owner(self, index):
        write(index, "1", "2", owner="ann")
        self.redis.hdel(self.index.name, "1")
        assert ids(index.recent(owner="ann")) == ["2"]
        assert index.count("ann") == 1

    @both
    def test_what_they_deleted_leaves_no_key_after_a_listing(self, index):
        for listing in ({}, {"owner": "ann"}):
            write(index, "1", "2", owner="ann")
            self.redis.hdel(self.index.name, "1", "2")
            list(index.recent(**listing))
            assert self.keys() == set()

    @both
    def test_what_they_deleted_leaves_no_key_after_a_deletion(self, index):
        write(index, "1", "2", owner="ann")
        self.redis.hdel(self.index.name, "1", "2")
        index.driver("1", owner="ann").delete()
        assert index.delete("2") == 0
        assert self.keys() == set()

    @both
    def test_a_page_of_what_they_deleted_leads_to_the_next(self, index):
        write(index, *"1234")
        self.redis.hdel(self.index.name, "3", "4")
        assert paged_ids(index, 2) == ["2", "1"]

    @both
    def test_an_index_that_they_deleted_is_empty(self, index):
        write(index, *"123", owner="ann")
        self.redis.delete(self.index.name)
        assert (ids(index.recent()), [*index], index.count()) == ([], [], 0)

    @both
    def test_a_key_of_another_type_is_an_error(self, index):
        self.redis.set(self.index.name, "text")
        for use in (index.count, index.recent, lambda: [*index], lambda: index.delete("1")):
            with pytest.raises(RedisMisconfigured, match="'default'.*another type"):
                use()


@each_layout
class IterationTests:
    @both
    def test_of_an_empty_index_yields_nothing(self, index):
        assert [*index] == []

    @both
    def test_yields_every_id(self, index):
        expected = {f"{number}" for number in range(5000)}
        self.redis.hset(self.index.name, mapping=dict.fromkeys(expected, STOCK))
        assert {*index} == expected

    @both
    def test_yields_ids_of_any_bytes(self, index):
        for id in (b"\xff", "ä🙂", "a b", ""):
            self.put(id, STOCK)
        assert sorted(index) == sorted(["\udcff", "ä🙂", "a b", ""])

    @both
    def test_takes_batches(self, index):
        self.redis.hset(self.index.name, mapping=dict.fromkeys(range(25_000), STOCK))
        with monitored(self.redis) as commands:
            assert len({*index}) == 25_000
        scans = [sent["command"] for sent in commands if sent["command"].startswith("HSCAN")]
        assert 3 < len(scans) < 20

    @both
    def test_may_be_left_early(self, index):
        self.put("42", STOCK)
        for id in index:
            assert id == "42"
            break

    def test_deleting_on_the_way_is_fine(self):
        self.redis.hset(self.index.name, mapping=dict.fromkeys(range(2000), STOCK))
        assert sum(self.index.delete(id) for id in self.index) == 2000
        assert self.keys() == set()

    @both
    def test_works_on_servers_before_7_4(self, index):
        self.index._listing._novalues = False
        self.redis.hset(self.index.name, mapping=dict.fromkeys(range(5000), STOCK))
        with monitored(self.redis) as commands:
            assert {*index} == set(map(str, range(5000)))
        assert not [sent for sent in commands if "NOVALUES" in sent["command"]]


def refusing(operation, sent, error):
    """`operation` on a server that answers whatever has `sent` among its arguments with `error`."""
    try:
        step = next(operation)
        while True:
            commands = [step] if isinstance(step, Command) else step
            if any(sent in call for command in commands for call in command.calls):
                step = operation.throw(translate(ResponseError(error), "default"))
            else:
                step = operation.send((yield step))
    except StopIteration as stop:
        return stop.value


class OldServerTests(RedisTestCase):
    """No server of the tests refuses NOVALUES, as those before 7.4 do."""

    def setUp(self):
        super().setUp()
        self.put("42", STOCK)
        self.listing = self.index._listing

    def scan(self, error="syntax error"):
        return perform(self.redis, refusing(self.listing.scan(b"0"), "NOVALUES", error), "default")

    def test_a_syntax_error_of_novalues_is_followed_by_a_scan_with_values(self):
        assert self.scan() == (b"0", [b"42"])

    def test_novalues_is_tried_once(self):
        self.scan()
        with monitored(self.redis) as commands:
            assert [*self.index] == ["42"]
        assert not [sent for sent in commands if "NOVALUES" in sent["command"]]

    def test_another_error_is_raised(self):
        with pytest.raises(RedisMisconfigured, match="another type"):
            self.scan("WRONGTYPE Operation against a key")
        with monitored(self.redis) as commands:
            assert [*self.index] == ["42"]
        assert [sent for sent in commands if "NOVALUES" in sent["command"]]


@each_layout
class DeleteTests:
    @both
    def test_counts_those_that_were_there(self, index):
        write(index, *"123")
        assert index.delete("1", "3", "4") == 2
        assert [*index] == ["2"]

    @both
    def test_of_nothing_is_none(self, index):
        write(index, "1")
        assert index.delete() == 0
        assert index.count() == 1

    @both
    def test_counts_an_id_once(self, index):
        write(index, "1")
        assert index.delete("1", "1") == 1

    @both
    def test_takes_every_kind_of_id(self, index):
        given = [1, UUID(int=1), b"\xff", "a b"]
        write(index, *given)
        assert index.delete(*given) == 4

    @both
    def test_removes_every_key(self, index):
        write(index, "1", owner="ann")
        write(index, "2", owner="bob")
        write(index, "3")
        self.put("4", STOCK)
        assert index.delete(*index) == 4
        assert self.keys() == set()

    @both
    def test_removes_from_the_orders_of_the_owners(self, index):
        write(index, "1", "2", owner="ann")
        write(index, "3", owner="bob")
        index.delete("1", "3")
        assert ids(index.recent(owner="ann")) == ["2"]
        assert index.count("bob") == 0

    @both
    def test_takes_more_than_a_batch(self, index):
        self.redis.hset(self.index.name, mapping=dict.fromkeys(range(1100), STOCK))
        assert index.delete(*range(1100)) == 1100
        assert self.keys() == set()


@each_layout
class RoundTripTests:
    def commands_of(self, index, use):
        use()  # so that connection and scripts are there
        with monitored(self.redis) as commands:
            use()
        setup = ("HELLO", "CLIENT", "SELECT", "AUTH")
        return [
            sent["command"].split()[0]
            for sent in commands
            if sent["client_type"] != "lua" and not sent["command"].startswith(setup)
        ]

    @both
    def test_a_page_costs_the_same_whatever_the_size_of_the_index(self, index):
        found = []
        for size in (10, 1000):
            self.redis.hset(self.index.name, mapping=dict.fromkeys(range(size), STOCK))
            self.index.adopt()
            found.append(self.commands_of(index, lambda: index.recent(10)))
        assert found[0] == found[1]
        assert len(found[0]) <= 5

    @both
    def test_a_page_costs_the_same_whatever_its_length(self, index):
        for number in range(100):
            self.index.driver(number, owner="ann").append(run())
        short, long = (
            self.commands_of(index, lambda limit=limit: index.recent(limit, owner="ann"))
            for limit in (1, 100)
        )
        assert short == long[:2] and len(long) == 3  # in one round trip, fifty at a time

    @both
    def test_a_page_without_what_others_deleted_costs_the_same(self, index):
        write(index, *map(str, range(20)))
        self.redis.hdel(self.index.name, *range(10))
        index.recent()
        assert len(self.commands_of(index, index.recent)) <= 5

    @both
    def test_nothing_reads_a_whole_index(self, index):
        self.redis.hset(self.index.name, mapping=dict.fromkeys(range(100), STOCK))
        with monitored(self.redis) as commands:
            write(index, "a", "b", owner="ann")
            index.recent()
            index.recent(owner="ann")
            index.count()
            index.driver("a").load()
            index.adopt()
            index.delete(*index)
        names = {sent["command"].split()[0].upper() for sent in commands}
        assert not names & {"KEYS", "SCAN", "HGETALL", "HKEYS", "HVALS"}
