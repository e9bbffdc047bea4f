"""The conformance tests that LangGraph publishes, with the async methods and with the sync ones."""

import asyncio
from importlib.util import find_spec
from unittest import skipUnless

from ..encrypting import HAS_CRYPTOGRAPHY, encryption
from ..utils import RedisTestCase, close_connections

HAS_SUITE = bool(find_spec("langgraph") and find_spec("langgraph.checkpoint.conformance"))

if HAS_SUITE:
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from conversation_memory.integrations.langgraph import ConversationSaver

    class SyncSaver(BaseCheckpointSaver):
        """A saver whose async methods are the sync ones of another."""

        def __init__(self, saver):
            super().__init__(serde=saver.serde)
            self.saver = saver

        async def alist(self, *args, **options):
            for one in self.saver.list(*args, **options):
                yield one

    def _twin(name):
        async def call(self, *args, **options):
            return getattr(self.saver, name)(*args, **options)

        return call

    for _name in (
        *("get_tuple", "put", "put_writes", "delete_thread"),
        *("copy_thread", "prune", "delete_for_runs"),
    ):
        setattr(SyncSaver, f"a{_name}", _twin(_name))


@skipUnless(HAS_SUITE, "needs langgraph-checkpoint-conformance")
class ConformanceTests(RedisTestCase):
    def report(self, made, **options):
        from langgraph.checkpoint.conformance import checkpointer_test, validate

        @checkpointer_test(name="conversation_memory")
        async def make():
            yield made(ConversationSaver(self.index, **options))

        async def run():
            try:
                return await validate(make)
            finally:
                await close_connections()

        return asyncio.run(run())

    def assert_passed(self, report):
        failures = [one for result in report.results.values() for one in result.failures or ()]
        assert report.passed_all(), failures
        assert sum(result.tests_passed for result in report.results.values()) >= 81

    def test_the_async_methods_pass(self):
        self.assert_passed(self.report(lambda saver: saver))


class ListConformanceTests(ConformanceTests):
    entry = {"LAYOUT": "list"}

    def test_the_async_methods_pass(self):
        """Of an owner, by the sync ones."""
        self.assert_passed(self.report(SyncSaver, owner="ann"))


@skipUnless(HAS_CRYPTOGRAPHY, "cryptography is not installed")
class EncryptedConformanceTests(ConformanceTests):
    entry = {"ENCRYPTION": encryption("a")}


@skipUnless(HAS_CRYPTOGRAPHY, "cryptography is not installed")
class EncryptedListConformanceTests(ListConformanceTests):
    entry = {"LAYOUT": "list", "ENCRYPTION": encryption("a")}
