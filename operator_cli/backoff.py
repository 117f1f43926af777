"""How long to wait before a child that died is started again. Pure: times come in as arguments.

Law: the first restart is nearly at once, since most deaths are accidents; each further one waits twice as long, up to a
bound, since the rest are not; and a child that stayed up for a while has earned a clean record.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 0.1  # seconds
LONGEST = 30.0  # seconds
STABLE = 60.0  # seconds of life after which a death counts as the first


@dataclass(slots=True)
class Backoff:
    """The record of one child."""

    failures: int = 0

    def after(self, uptime: float) -> float:
        """Seconds to wait after a death that came `uptime` seconds after the start."""
        if uptime >= STABLE:
            self.failures = 0
        self.failures += 1
        # The exponent is bounded: a child that never comes up would overflow the float after a thousand deaths.
        return min(FIRST * 2.0 ** min(self.failures - 1, 32), LONGEST)
