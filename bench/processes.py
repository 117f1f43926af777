"""CPU time and memory of processes, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of processes, of their threads, and of children that they have reaped.

    A process that has ended meanwhile counts with the parent that reaped it.
    """
    total = 0
    for pid in pids:
        with suppress(OSError):
            total += sum(int(field) for field in _stat(pid)[11:15])
    return total / _TICKS


def tree(root: int) -> list[int]:
    """A process and all below it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it ended meanwhile
                parents.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:  # grows as it goes
        found.extend(parents.get(pid, ()))
    return found


def resident_mib(pid: int) -> float:
    """Resident memory in MiB."""
    return _memory(pid, "VmRSS:")


def peak_mib(pid: int) -> float:
    """The most resident memory, in MiB, since the process began or `forget_peak`."""
    return _memory(pid, "VmHWM:")


def forget_peak(pid: int) -> None:
    """Let `peak_mib` begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _stat(pid: int) -> list[str]:
    """The fields from the state on; the name before it may hold spaces and parentheses."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _memory(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} has no {name}")
