"""How many attempts may be wasted, over all requests.

    allowed while   wasted ≤ share · requests + floor,   both counted over a sliding window

The law: pure; the clock is an argument. A retry that led to an answer was no waste, whoever failed before it: with the
first two channels of three dead, every request rightly goes on to the third. Only when requests fail in spite of their
retries is something wrong that retries do not mend, and then they would only add to it. Each limit of one request
multiplies with the requests; this one does not.
"""

from typing import Final

_SLICES: Final = 10
"""Slices of the window: it slides by a tenth of itself."""


class RetryBudget:
    """Counts requests and wasted retries."""

    __slots__ = ("_floor", "_newest", "_requests", "_share", "_slice", "_wasted")

    def __init__(self, *, share: float = 0.2, window: float = 10.0, floor: int = 20) -> None:
        """Take the share of requests, the window in seconds, and the waste that is always allowed in a window."""
        if not (0 <= share <= 1 and window > 0 and floor >= 0):
            raise ValueError("a share between 0 and 1, a window and a floor are needed")
        self._share, self._floor = share, floor
        self._slice = window / _SLICES
        self._newest = 0
        self._requests = [0] * _SLICES
        self._wasted = [0] * _SLICES

    def request(self, now: float) -> None:
        """Count a request; `now` is in seconds by a clock that never goes back."""
        self._requests[self._at(now)] += 1

    def allows(self, now: float) -> bool:
        """Tell whether another retry may be made."""
        self._at(now)
        return sum(self._wasted) <= self._share * sum(self._requests) + self._floor

    def failed(self, now: float, retries: int) -> None:
        """Count the retries of a request that nobody served."""
        self._wasted[self._at(now)] += retries

    def _at(self, now: float) -> int:
        """Let go of what is older than the window; give the place of the present."""
        newest = int(now / self._slice)
        if newest <= self._newest:
            return self._newest % _SLICES
        for old in range(max(self._newest + 1, newest - _SLICES + 1), newest + 1):
            self._requests[old % _SLICES] = self._wasted[old % _SLICES] = 0
        self._newest = newest
        return newest % _SLICES
