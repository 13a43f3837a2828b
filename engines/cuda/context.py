"""CUDA context of a device, and ownership of its resources, each of which is released exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar
from weakref import WeakSet, finalize

from ..errors import EngineError
from .driver import Driver


class Closable(Protocol):
    """Resource that a context closes with itself."""

    def close(self) -> None:
        """Release the resource; no effect if it is closed."""


ClosableT = TypeVar("ClosableT", bound=Closable)


class Context:
    """The primary context of a device, shared with PyTorch and CuPy. Any thread may call, one at a time."""

    def __init__(self, driver: Driver) -> None:
        self._driver: Driver | None = driver
        self._resources: WeakSet[Closable] = WeakSet()

    @property
    def api(self) -> Driver:
        """The driver; raises an EngineError if the GPU is closed."""
        if self._driver is None:
            raise EngineError("the GPU is closed; open it again")
        return self._driver

    @contextmanager
    def current(self) -> Iterator[Driver]:
        """Make the context current in this thread within the block, which gets the driver; may be nested."""
        api = self.api
        api.push()
        try:
            yield api
        finally:
            api.pop()

    def register(self, resource: ClosableT) -> ClosableT:
        """Close a resource with the context, unless it is closed or collected before."""
        self._resources.add(resource)
        return resource

    def close(self) -> None:
        """Close all resources and release the context.

        Page-locked arrays and device memory exported to another library are freed with their last reference.
        """
        for resource in list(self._resources):
            with suppress(EngineError):  # the call that lost the context has raised already
                resource.close()
        self._driver = None


class Owned:
    """Handles in a context, released by `close` or when the object is collected.

    Args:
        context: the context of the handles.
        name: of the resource, for error messages.
        free: releases one handle.
        handles: to release; may be filled in later.
    """

    def __init__(self, context: Context, name: str, free: Callable[[int], None], handles: list[int]) -> None:
        self._context, self._name = context, name
        self._finalizer = finalize(self, release, context.api, free, handles)

    @property
    def closed(self) -> bool:
        """Whether the handles are released."""
        return not self._finalizer.alive

    def api(self) -> Driver:
        """The driver; raises an EngineError if this resource or its context is closed."""
        if self.closed:
            raise EngineError(f"the {self._name} is closed; create another")
        return self._context.api

    def close(self) -> None:
        """Release the handles; no effect if closed."""
        self._finalizer()


def release(driver: Driver, free: Callable[[int], None], handles: list[int]) -> None:
    """Free handles; driver errors are ignored, since the call that broke the context has raised already."""
    with suppress(EngineError):
        driver.push()
        try:
            for handle in handles:
                free(handle)
        finally:
            driver.pop()
