"""How much processor time of this machine nobody wanted.

The law: where next to none is left over, whoever is late may have waited for a processor, and seconds prove nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

BUSY: Final = 0.1
"""A share of idle time below which the machine is busy."""
_STAT: Final = Path("/proc/stat")
_IDLE: Final = slice(3, 5)  # idle, and waiting for a disk
_GUESTS: Final = 8  # times from here on are counted before already


class Ticks(NamedTuple):
    """Processor time since the machine started."""

    idle: int
    whole: int


def read() -> Ticks:
    """Read the kernel's counters; zeros on a system without them, which is never called busy."""
    try:
        return parse(_STAT.read_text(encoding="ascii"))
    except OSError:
        return Ticks(0, 0)


def parse(text: str) -> Ticks:
    """Parse the first line of /proc/stat."""
    times = [int(word) for word in text.split("\n", 1)[0].split()[1:]]
    return Ticks(sum(times[_IDLE]), sum(times[:_GUESTS]))


def was_busy(earlier: Ticks, later: Ticks) -> bool:
    """Whether next to no processor time was left over in between."""
    passed = later.whole - earlier.whole
    return passed > 0 and later.idle - earlier.idle < BUSY * passed
