"""Which requests get in: a maximum at once, in all and of each client, and a rate for each client."""

from __future__ import annotations

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address

from .limits import Limits
from .problem import Problem

MAX_CLIENTS = 10_000
"""Clients whose rate is known; of more, those that have sent nothing for the longest time are forgotten."""
RETRY_S = 1
"""When a client of a busy service may try again, in seconds."""


class TokenBucket:
    """Lets events pass at an average rate, and some at once after a pause.

    Args:
        rate: events/s.
        burst: events at once.
        now_s: on any clock.
    """

    def __init__(self, rate: float, burst: int, now_s: float) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._last_s = float(burst), now_s

    def take(self, now_s: float) -> float:
        """Let one event pass; returns 0, or the seconds until one may pass if none may now."""
        self._left = min(float(self._burst), self._left + self._rate * (now_s - self._last_s))
        self._last_s = now_s
        if self._left < 1:
            return (1 - self._left) / self._rate
        self._left -= 1
        return 0.0


class Admission:
    """Counts the requests that are in, and the rate of each client. For one thread, that of the event loop.

    Args:
        limits: of the service.
        clock: seconds, like `time.monotonic`.

    Attributes:
        count: of requests that are in.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self.count = 0

    @contextmanager
    def enter(self, client: str) -> Iterator[None]:
        """Let a request in until the context ends.

        Args:
            client: its IP address, or another name.

        Raises:
            Problem: 429 the client's rate is too high, or too many of its requests are in; 503 too many of all are in.
        """
        own = network(client)
        self._check_rate(own)
        if self._counts[own] >= self._limits.max_of_client:
            count = self._counts[own]
            raise Problem(429, f"the service has {count} requests of this client, its limit; wait for answers", RETRY_S)
        if self.count >= self._limits.max_requests:
            raise Problem(503, f"the service has {self.count} requests, its limit; try again later", RETRY_S)
        self.count += 1
        self._counts[own] += 1
        try:
            yield
        finally:
            self.count -= 1
            self._counts[own] -= 1
            if not self._counts[own]:
                del self._counts[own]

    def _check_rate(self, client: str) -> None:
        limits, now_s = self._limits, self._clock()
        if math.isinf(limits.rate):
            return
        bucket = self._buckets.pop(client, None) or TokenBucket(limits.rate, limits.burst, now_s)
        self._buckets[client] = bucket
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        if wait_s := bucket.take(now_s):
            raise Problem(
                429, f"expected at most {limits.rate:g} requests/s of a client; send fewer", max(1, math.ceil(wait_s))
            )


def network(client: str) -> str:
    """What stands for a client: its IPv4 address, or the first 64 bits of an IPv6 address: it has all that follow."""
    try:
        address = ip_address(client)
    except ValueError:
        return client
    if not isinstance(address, IPv6Address):
        return client
    return str(address.ipv4_mapped or int(address) >> 64)
