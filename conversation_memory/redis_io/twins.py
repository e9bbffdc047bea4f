"""A sync and an async method from one definition."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from django.views.decorators.debug import sensitive_variables

from .operations import Operation

P = ParamSpec("P")
T = TypeVar("T")


class Performing(Protocol):
    """A class that runs operations, sync and async."""

    def _run(self, operation: Operation[T]) -> T: ...

    async def _arun(self, operation: Operation[T]) -> T: ...


S = TypeVar("S", bound=Performing)


def twins(
    operation: Callable[Concatenate[S, P], Operation[T]],
) -> tuple[
    Callable[Concatenate[S, P], T],
    Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
]:
    """The methods `name` and `aname` for a method `_name` that returns an operation.

    Both have its parameters; the first has its docstring. Their arguments, which may be messages,
    stay out of error reports.
    """

    @sensitive_variables()
    def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(operation(self, *args, **kwargs))

    @sensitive_variables()
    async def arun(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._arun(operation(self, *args, **kwargs))

    name = operation.__name__.removeprefix("_")
    _describe(run, operation, name, operation.__doc__)
    _describe(arun, operation, f"a{name}", f"See {name}().")
    return run, arun


def _describe(twin: Any, operation: Callable[..., Any], name: str, doc: str | None) -> None:
    """Let `twin` look as if it had been written out."""
    twin.__name__, twin.__doc__ = name, doc
    twin.__qualname__ = f"{operation.__qualname__.rpartition('.')[0]}.{name}"
    twin.__module__ = operation.__module__
    annotations = dict(operation.__annotations__)
    if result := annotations.pop("return", ""):
        annotations["return"] = str(result).removeprefix("Operation[").removesuffix("]")
    twin.__annotations__ = annotations
    signature = inspect.signature(operation)
    returned = annotations.get("return", inspect.Signature.empty)
    twin.__signature__ = signature.replace(return_annotation=returned)
