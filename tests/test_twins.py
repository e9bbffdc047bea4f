"""What `twins()` makes looks and fails as if it had been written out."""

import inspect

import pytest
from django.test import SimpleTestCase
from django.views.debug import ExceptionReporter

from conversation_memory.drivers import RedisConversationMemoryDriver as Driver
from conversation_memory.redis_io.operations import twins

from .utils import wait_for


class Subject:
    def _run(self, operation, name):
        return next(operation)

    async def _arun(self, operation, name):
        return next(operation)

    def _double(self, number: int, *, times: int = 2) -> "Operation[int]":  # noqa: F821
        """The number so many times."""
        yield number * times

    double, adouble = twins(_double)


class TwinsTests(SimpleTestCase):
    def test_do_the_same(self):
        assert Subject().double(2, times=3) == 6
        assert wait_for(Subject().adouble(2)) == 4

    def test_are_named_and_described(self):
        assert (Subject.double.__name__, Subject.double.__doc__) == (
            "double",
            "The number so many times.",
        )
        assert (Subject.adouble.__name__, Subject.adouble.__doc__) == ("adouble", "See double().")
        assert Subject.adouble.__qualname__ == "Subject.adouble"

    def test_have_the_signature_of_the_operation(self):
        signature = str(inspect.signature(Subject.double))
        assert signature == "(self, number: int, *, times: int = 2) -> 'int'"
        assert str(inspect.signature(Driver.page)).endswith("limit: 'int' = 50) -> 'RunPage'")

    def test_the_async_one_is_a_coroutine_function(self):
        assert inspect.iscoroutinefunction(Driver.aappend)
        assert not inspect.iscoroutinefunction(Driver.append)

    def test_refuse_what_the_operation_does_not_take(self):
        with pytest.raises(TypeError, match="_double"):
            Subject().double(1, 2, 3)

    def test_arguments_are_not_in_an_error_report(self):
        try:
            Driver(host="localhost", port=1, index="i").append("a secret text")
        except TypeError as error:
            report = ExceptionReporter(None, type(error), error, error.__traceback__)
            assert "a secret text" not in str(
                [f["vars"] for f in report.get_traceback_frames()][1:]
            )
