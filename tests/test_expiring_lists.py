"""A list that expires while it is read, in layout `list`."""

from contextlib import suppress
from functools import partial
from itertools import product
from unittest import mock

from conversation_memory.exceptions import ConversationNotFound
from conversation_memory.layouts import long_lists
from conversation_memory.redis_io import operations

from .test_bounded import run, small_parts
from .utils import RedisTestCase


class ExpiringListTests(RedisTestCase):
    entry = {"LAYOUT": "list"}

    def setUp(self):
        super().setUp()
        self.driver = self.index.driver("c")

    def test_a_list_that_expires_between_two_parts_is_not_damaged(self):
        read_rest = long_lists._read_rest

        def disturbed(keys, id, texts):
            self.let_expire()
            return read_rest(keys, id, texts)

        self.driver.append(*map(run, range(30)))
        with small_parts(), mock.patch.object(long_lists, "_read_rest", disturbed):
            assert self.driver.load() == ([], {})

    def test_a_list_that_expires_between_the_reads_of_one_round_trip_is_not_damaged(self):
        exchange = operations._exchange

        def torn(client, calls):
            if len(calls) < 3 or self.is_torn:
                return exchange(client, calls)
            self.is_torn = True
            first = exchange(client, calls[:place])
            self.let_expire()
            return [*first, *exchange(client, calls[place:])]

        tail, window = partial(self.driver.tail, 3), partial(self.driver.window, max_runs=2)
        for read, place in product((self.driver.load, tail, window), (1, 2)):
            self.is_torn = False
            self.driver.append(*map(run, range(5)))
            with self.subTest(place=place), mock.patch.object(operations, "_exchange", torn):
                assert [*read()] in ([], [[], {}])
            assert self.is_torn

    def let_expire(self):
        """Without a new version: a deadline is none of what a reader compares."""
        runs = f"{{{self.index.name}}}:runs:c"
        with suppress(ConversationNotFound):
            self.driver.expire(0.001)
        while self.redis.exists(runs):
            pass
