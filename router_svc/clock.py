"""The time by which API keys expire: the database's, told between two looks at it by our own monotonic clock.

The law: it is never ahead of the database's clock, and behind by no more than the quickest answer took to come; so every
router and every hand in psql mean the same moment, whatever the clock of a router's machine says or does. Only before the
database has told its time even once is the machine's clock asked.
"""

from collections.abc import Callable
from math import inf
from typing import Final

_DRIFT: Final = 0.0001
"""Seconds by which two clocks may part in one second."""


class DatabaseClock:
    """Tells the database's time. Seconds; spans are of one monotonic clock."""

    def __init__(self, machine: Callable[[], float]) -> None:
        """Take what tells the machine's time."""
        self._machine = machine
        self._ahead = -inf
        """By how much the database's clock is ahead of the monotonic one, at least."""
        self._learned = 0.0

    def learn(self, told: float, began: float, now: float) -> None:
        """Take a time that the database told between `began` and `now`."""
        ahead = self._ahead - _DRIFT * (now - self._learned)
        # What cannot be, unless its clock went back: then it is taken anew.
        self._ahead = told - now if ahead > told - began else max(ahead, told - now)
        self._learned = now

    def time(self, now: float) -> float:
        """Tell the time, in seconds since the epoch."""
        return now + self._ahead if self._ahead > -inf else self._machine()
