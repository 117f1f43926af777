"""Wall clocks that jump: of one process each, while its monotonic clocks and everybody else's clocks go on.

The law: the process sees what it would see if somebody set its machine's clock. A small library does that, preloaded into
each member and built when a cluster starts. Where there is no C compiler, the same is done to what Python tells the process.
"""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
COMPILER: Final = shutil.which("cc") or shutil.which("gcc")
"""A C compiler, if there is one."""


class Clock:
    """The wall clock of one process."""

    def __init__(self, path: Path) -> None:
        """Take the file by which it is set."""
        self._path = path
        path.write_bytes(struct.pack("=q", 0))

    def jump(self, seconds: float) -> None:
        """Set it ahead of everybody else's, or back; 0 puts it right."""
        with self._path.open("r+b") as file, mmap.mmap(file.fileno(), 8) as memory:
            memory[:] = struct.pack("=q", round(seconds * 1e9))

    def environment(self, way: Mapping[str, str]) -> Mapping[str, str]:
        """What the process is started with; `way` is how its clock is set."""
        return {**way, "TRUNKLINE_PROOF_CLOCK": str(self._path)}


def way_of_setting(directory: Path) -> Mapping[str, str]:
    """Find how clocks are set here. May fork, so it must come before the first gRPC channel of this process."""
    return by_library(directory, COMPILER) if COMPILER is not None else by_python()


def by_library(directory: Path, compiler: str) -> Mapping[str, str]:
    """Build a library that sets the clock of a whole process."""
    library = directory / "clock.so"
    source = _HERE / "clock.c"
    command = (compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", os.fspath(library), os.fspath(source))
    subprocess.run(command, check=True)
    return {"LD_PRELOAD": str(library)}


def by_python() -> Mapping[str, str]:
    """Set what Python tells a process, where nothing can be built."""
    return {"PYTHONPATH": str(_HERE / "clock_in_python")}
