"""Tells of what strangers can repeat at will once, and then at most once in a while, with how often it was.

Law: pure and bounded; the clock comes in as an argument. Nothing is lost: what is not told now is in the next count.
"""

from typing import Final

EVERY: Final = 60.0
"""Seconds between two lines about the same thing."""


class Sparing:
    """Counts occurrences by what they are."""

    __slots__ = ("_every", "_last")

    def __init__(self, every: float = EVERY) -> None:
        self._every = every
        self._last: dict[str, tuple[float, int]] = {}
        """When a thing was last told, and how often it has been since. Its keys are names of ours, never a stranger's."""

    def count(self, what: str, now: float) -> int:
        """Counts one; returns how many are to be told now, this one among them, 0 when it is too early to tell."""
        told, since = self._last.get(what, (-self._every, 0))
        if now - told < self._every:
            self._last[what] = told, since + 1
            return 0
        self._last[what] = now, 0
        return since + 1
