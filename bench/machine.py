"""What the machine did meanwhile: time stolen by its host, and time used by programs that are not measured.

On a shared machine a figure is worth what the machine was worth; so each sample carries both, and is marked noisy past the
limits here. Whose time is whose comes from process accounting.
"""

from __future__ import annotations

import os
import platform
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
MOST_STOLEN = 0.02  # share of the machine
MOST_BY_OTHERS = 0.10  # share of the machine


@dataclass(frozen=True, slots=True)
class Reading:
    """Seconds since boot, over all cores."""

    busy: float  # user and system time of all processes; interrupts belong to nobody
    stolen: float
    total: float

    @classmethod
    def parse(cls, stat: str, ticks: int = _TICKS) -> Reading:
        """Read the first line of /proc/stat."""
        user, nice, system, idle, wait, irq, soft, steal = (int(field) / ticks for field in stat.split()[1:9])
        busy = user + nice + system
        return cls(busy, steal, busy + idle + wait + irq + soft + steal)

    @classmethod
    def now(cls) -> Reading:
        """Read the machine."""
        return cls.parse(Path("/proc/stat").read_text())


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Shares of the whole machine during one sample."""

    stolen: float
    by_others: float

    @property
    def noisy(self) -> bool:
        """Whether the sample deserves doubt."""
        return self.stolen > MOST_STOLEN or self.by_others > MOST_BY_OTHERS


def disturbance(before: Reading, after: Reading, ours: float) -> Disturbance:
    """What happened between two readings, `ours` being the seconds that we know the owner of."""
    total = max(after.total - before.total, 1 / _TICKS)
    others = max(0.0, after.busy - before.busy - ours)
    return Disturbance((after.stolen - before.stolen) / total, others / total)


def own_seconds() -> float:
    """CPU time of this process and of the load generators that it has run."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def prepare(descriptors: int) -> None:
    """Before a measurement: room for so many open files, and an end by SIGTERM that ends what was started.

    Raises RuntimeError where the machine does not allow so many.
    """
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    _allow_descriptors(descriptors)


def _allow_descriptors(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise RuntimeError(f"{count} open files are needed and {hard} are allowed: ulimit -Hn {count}")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def describe() -> dict[str, str]:
    """The machine, for whoever reads the figures later."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
