"""What one read returns was stored at one moment, whoever writes between its commands."""

from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from itertools import product
from unittest import mock

from conversation_memory import Run
from conversation_memory.redis_io import operations

from .encrypting import encryption
from .utils import RedisTestCase

BEFORE = [Run("first", "1", id="a"), Run("second", "2", id="b")]
EDITED = Run("second", "3", id="b")  # as long as before


class OneMomentTests(RedisTestCase):
    entry = {"LAYOUT": "list"}

    def setUp(self):
        super().setUp()
        self.driver, self.other = self.index.driver("c"), self.index.driver("c")

    def writes(self):
        yield lambda: self.other.append(Run("third", "3", id="c"))
        yield lambda: self.other.edit(EDITED)
        yield lambda: self.other.update_metadata({"color": "red"})
        yield lambda: self.other.store([EDITED], {"color": "red"})
        yield lambda: self.other.delete()
        yield lambda: self.redis.hset(self.index.name, "c", '{"runs": [], "metadata": {"a": 1}}')

    @contextmanager
    def written_meanwhile(self, write, place):
        """`write` comes behind so many commands of the next read of several."""
        exchange, aexchange, is_written = operations._exchange, operations._aexchange, False

        def torn(client, calls):
            nonlocal is_written
            if len(calls) <= place or is_written:
                return exchange(client, calls)
            is_written = True
            first = exchange(client, calls[:place])
            write()
            return [*first, *exchange(client, calls[place:])]

        async def atorn(client, calls):
            nonlocal is_written
            if len(calls) <= place or is_written:
                return await aexchange(client, calls)
            is_written = True
            first = await aexchange(client, calls[:place])
            write()
            return [*first, *(await aexchange(client, calls[place:]))]

        names = {"_exchange": torn, "_aexchange": atorn}
        with mock.patch.multiple(operations, **names):
            yield
        assert is_written

    def test_a_load(self):
        for write, place in product(self.writes(), (1, 2)):
            self.driver.store(BEFORE, {"color": "blue"})
            before = self.driver.load()
            with self.subTest(place=place), self.written_meanwhile(write, place):
                found = self.driver.load()
            assert found in (before, self.driver.load())

    async def test_an_async_load(self):
        for write, place in product(self.writes(), (1, 2)):
            await self.driver.astore(BEFORE, {"color": "blue"})
            before = await self.driver.aload()
            with self.subTest(place=place), self.written_meanwhile(write, place):
                found = await self.driver.aload()
            assert found in (before, await self.driver.aload())

    def test_a_page(self):
        for write, place, before in product(self.writes(), (1, 2, 3), (None, 1, 2)):
            self.driver.store(BEFORE, {"color": "blue"})
            page = partial(self.driver.page, before=before, limit=1)
            first = page()
            with self.subTest(place=place), self.written_meanwhile(write, place):
                found = page()
            assert found in (first, page())

    async def test_an_async_page(self):
        for write, place, before in product(self.writes(), (1, 2, 3), (None, 1, 2)):
            await self.driver.astore(BEFORE, {"color": "blue"})
            page = partial(self.driver.apage, before=before, limit=1)
            first = await page()
            with self.subTest(place=place), self.written_meanwhile(write, place):
                found = await page()
            assert found in (first, await page())


class OneEncryptedMomentTests(OneMomentTests):
    entry = {"LAYOUT": "list", "ENCRYPTION": encryption("a")}

    def writes(self):
        *own, _ = super().writes()  # what others write in the clear is not read
        return own


class RoundTripTests(RedisTestCase):
    """The usual read is one exchange of a few commands."""

    entry = {"LAYOUT": "list"}

    def setUp(self):
        super().setUp()
        driver = self.driver = self.index.driver("c", owner="o", ttl=timedelta(days=1))
        driver.append(*BEFORE)
        self.reads = (driver.load, driver.aload, 3), (driver.tail, driver.atail, 4)

    def test_of_a_load_and_a_tail(self):
        for read, _, most in self.reads:
            with mock.patch.object(operations, "_exchange", wraps=operations._exchange) as sent:
                read(*[1] * (most - 3))
            [call] = sent.call_args_list
            assert len(call.args[1]) <= most

    async def test_of_an_async_load_and_tail(self):
        for _, read, most in self.reads:
            with mock.patch.object(operations, "_aexchange", wraps=operations._aexchange) as sent:
                await read(*[1] * (most - 3))
            [call] = sent.call_args_list
            assert len(call.args[1]) <= most
