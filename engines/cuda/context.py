"""A device's context, and who owns what in it: everything is given back once, whoever lets go of it last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar
from weakref import WeakSet, finalize

from ..errors import EngineError
from .driver import Driver


class Closable(Protocol):
    """What a context closes with itself."""

    def close(self) -> None:
        """Harmless when done already."""


Kept = TypeVar("Kept", bound=Closable)


class Context:
    """The primary context of a device, so that PyTorch and CuPy in the same process share it.

    Any thread may call, one at a time.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver: Driver | None = driver
        self._kept: WeakSet[Closable] = WeakSet()

    @property
    def api(self) -> Driver:
        """The driver.

        Raises:
            EngineError: the GPU is closed.
        """
        if self._driver is None:
            raise EngineError("the GPU is closed; open it again")
        return self._driver

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context current in this thread for a while; may be nested."""
        api = self.api
        api.push()
        try:
            yield
        finally:
            api.pop()

    def keep(self, thing: Kept) -> Kept:
        """Close a thing with the context, unless it is closed or forgotten before."""
        self._kept.add(thing)
        return thing

    def close(self) -> None:
        """Close all that was made here and let go of the context.

        Page-locked arrays, and device memory that was handed to another library, live on until they are let go of.
        """
        for thing in list(self._kept):
            with suppress(EngineError):  # of a context that is lost: told by the call that lost it
                thing.close()
        self._driver = None


class Owned:
    """Something in a context that is given back by `close`, or when nobody holds it any more.

    Args:
        context: where it is.
        what: its name, for errors.
        free: gives a handle back.
        handles: what to give back; may be filled in later.
    """

    def __init__(self, context: Context, what: str, free: Callable[[int], None], handles: list[int]) -> None:
        self._context, self._what = context, what
        self._finalizer = finalize(self, release, context.api, free, handles)

    @property
    def closed(self) -> bool:
        """Whether it was given back."""
        return not self._finalizer.alive

    def api(self) -> Driver:
        """The driver.

        Raises:
            EngineError: this, or the context, is closed.
        """
        if self.closed:
            raise EngineError(f"the {self._what} is closed; make another")
        return self._context.api

    def close(self) -> None:
        """Give it back; harmless when done already."""
        self._finalizer()


def release(driver: Driver, free: Callable[[int], None], handles: list[int]) -> None:
    """Free handles. What the driver says to it was said already by the call that broke the context."""
    with suppress(EngineError):
        driver.push()
        try:
            for handle in handles:
                free(handle)
        finally:
            driver.pop()
