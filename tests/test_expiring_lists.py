"""A list that expires while it is read, in layout `list`."""

from contextlib import suppress
from functools import partial
from unittest import mock

from conversation_memory.exceptions import ConversationNotFound
from conversation_memory.layouts import long_lists
from conversation_memory.redis_io.operations import single

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

    def test_a_list_that_expires_behind_its_field_is_not_damaged(self):
        def torn(layout, ref, calls):
            first = yield [single(*call) for call in calls[:2]]
            self.let_expire()
            return [*first, *(yield [single(*call) for call in calls[2:]])]

        tail, window = partial(self.driver.tail, 3), partial(self.driver.window, max_runs=2)
        for read in (self.driver.load, tail, window):
            self.driver.append(*map(run, range(5)))
            with mock.patch.object(type(self.index._layout), "_at_one_moment", torn):
                assert [*read()] in ([], [[], {}])

    def let_expire(self):
        """Without a new version: a deadline is none of what a reader compares."""
        runs = f"{{{self.index.name}}}:runs:c"
        with suppress(ConversationNotFound):
            self.driver.expire(0.001)
        while self.redis.exists(runs):
            pass
