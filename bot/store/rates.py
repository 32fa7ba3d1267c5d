"""What each sender has used of a rate, counted by the library `limits` for all processes together.

plm:limit:…  text  the count of a window, under a hash of the sender's name
"""

from __future__ import annotations

import hashlib
import math
import time
from typing import Any

import limits
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from bot.store.connection import attempt

Rates = tuple[limits.RateLimitItem, ...]


class RateCounts:
    """Any method raises StoreDownError when Redis is away."""

    def __init__(self, client: Any) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(_Counters(client))

    def hit(self, who: str, rates: Rates) -> int:
        """Count one request of `who` against each rate; 0, or the seconds until the first exceeded rate
        allows another. Names are kept as hashes, for the window of the rate."""
        name = hashlib.sha256(who.encode()).hexdigest()[:32]
        for rate in rates:
            if not attempt(lambda rate=rate: self._limiter.hit(rate, name)):  # type: ignore[misc]
                stats = attempt(lambda rate=rate: self._limiter.get_window_stats(rate, name))  # type: ignore[misc]
                return max(1, math.ceil(stats.reset_time - time.time()))
        return 0

    def time_until_allowed(self, who: str, rates: Rates) -> int:
        """What `hit` would return, without counting."""
        name = hashlib.sha256(who.encode()).hexdigest()[:32]
        for rate in rates:
            if not attempt(lambda rate=rate: self._limiter.test(rate, name)):  # type: ignore[misc]
                stats = attempt(lambda rate=rate: self._limiter.get_window_stats(rate, name))  # type: ignore[misc]
                return max(1, math.ceil(stats.reset_time - time.time()))
        return 0

    def clear(self, who: str, rates: Rates) -> None:
        """What `hit` has counted."""
        name = hashlib.sha256(who.encode()).hexdigest()[:32]
        for rate in rates:
            attempt(lambda rate=rate: self._limiter.clear(rate, name))  # type: ignore[misc]


class _Counters(RedisStorage):
    """Counts of rates by a client of any kind."""

    def __init__(self, client: Any) -> None:
        self._client = client
        super().__init__("redis://", key_prefix="plm:limit")  # makes a client, which is not used

    def get_connection(self, readonly: bool = False) -> Any:
        return self._client
