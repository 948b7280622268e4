"""How often a host is asked: a bucket of tokens for each, shared by the threads of a process."""

from __future__ import annotations

import threading


class HostRates:
    """Hands out moments at which hosts may be asked.

    A host has a bucket of `burst` tokens, which fills at `rate` tokens a second. A question
    takes one; where there is none, it waits for the next in the order of asking.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._full: dict[str, float] = {}
        """When each host's bucket will be full again."""

    def reserve(
        self, host: str, rate: float, burst: int, now: float, longest: float
    ) -> float | None:
        """Take a token.

        Args:
            host: Whom to ask.
            rate: Tokens a second.
            burst: Tokens in a full bucket.
            now: By a clock that never goes back.
            longest: Longest wait in seconds.

        Returns:
            Seconds from `now` on after which it may be used. None, and no token is taken, where
            that is longer than `longest`.
        """
        with self._lock:
            full = max(self._full.get(host, now), now) + 1 / rate
            delay = max(0.0, full - burst / rate - now)
            if delay > longest:
                return None
            self._full[host] = full
            return delay

    def hold(self, host: str, seconds: float, rate: float, burst: int, now: float) -> None:
        """Give out no token for `seconds`: the host has asked to be left alone."""
        with self._lock:
            empty = now + seconds + (burst - 1) / rate
            self._full[host] = max(self._full.get(host, now), empty)
