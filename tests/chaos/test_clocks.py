"""How the proof sets the clock of a process, by a library and without one.

Law: its wall clock jumps while it runs; its monotonic clock, and the clock of every other process, go on.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from prove.clocks import COMPILER, Clock, by_library, by_python

_AHEAD = 3_600.0
_PROGRAM = """
import sys, time
for line in sys.stdin:
    print(time.time(), time.time_ns() / 1e9, time.monotonic(), flush=True)
"""


def built(directory: Path) -> Mapping[str, str]:
    """The way by a library, where one can be built."""
    if COMPILER is None:
        pytest.skip("no C compiler: the proof sets clocks by Python here")
    return by_library(directory, COMPILER)


@pytest.mark.parametrize("way", [built, lambda _: by_python()], ids=["library", "python"])
def test_a_wall_clock_jumps_and_a_monotonic_one_goes_on(
    tmp_path: Path, way: Callable[[Path], Mapping[str, str]]
) -> None:
    """Ahead, back and right again, in a process that runs meanwhile."""
    clock = Clock(tmp_path / "clock")
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        env={"PATH": "/usr/bin:/bin", **clock.environment(way(tmp_path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for jump in (0.0, _AHEAD, -_AHEAD, 0.0):
            clock.jump(jump)
            wall, monotonic = time.time(), time.monotonic()
            process.stdin.write("\n")
            process.stdin.flush()
            told = [float(word) for word in process.stdout.readline().split()]
            passed = time.monotonic() - monotonic
            for shown in told[:2]:
                assert -1.0 < shown - wall - jump < passed + 1.0
            assert monotonic <= told[2] <= monotonic + passed
        process.stdin.close()
