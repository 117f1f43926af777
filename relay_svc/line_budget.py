"""A budget of log lines for requests that anybody can send.

Law: pure; the clock comes in as an argument. What is not told is counted, and the count goes with the next line that is.
"""

from typing import Final

RATE: Final = 20.0
"""Lines a second in the long run."""
BURST: Final = 100.0
"""Lines at once after a quiet time."""


class LineBudget:
    """A bucket that fills at a rate."""

    __slots__ = ("_burst", "_left", "_rate", "_since", "_untold")

    def __init__(self, rate: float = RATE, burst: float = BURST) -> None:
        """Begin full."""
        self._rate, self._burst = rate, burst
        self._left, self._since, self._untold = burst, 0.0, 0

    def take(self, now: float) -> int | None:
        """How many lines before this one were not told, if this one may be; None when it may not."""
        self._left = min(self._burst, self._left + (now - self._since) * self._rate)
        self._since = now
        if self._left < 1:
            self._untold += 1
            return None
        self._left -= 1
        untold, self._untold = self._untold, 0
        return untold
