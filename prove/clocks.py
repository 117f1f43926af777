"""Wall clocks that jump: of one process each, while its monotonic clocks and everybody else's clocks go on.

The law: the process sees what it would see if somebody set its machine's clock. A small library does that, preloaded into
each member and built when a cluster starts; where there is no C compiler, clocks cannot be set and the faults that do so are
left out.
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

_SOURCE: Final = Path(__file__).with_name("clock.c")
_COMPILER: Final = shutil.which("cc") or shutil.which("gcc")
CAN_BE_SET: Final = _COMPILER is not None
"""Whether clocks can be set here."""


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

    def environment(self, library: Path) -> Mapping[str, str]:
        """What the process is started with."""
        return {"LD_PRELOAD": str(library), "TRUNKLINE_PROOF_CLOCK": str(self._path)}


def build(directory: Path) -> Path:
    """Build the library. Forks, so it must come before the first gRPC channel of this process."""
    if _COMPILER is None:
        raise FileNotFoundError("cc")
    library = directory / "clock.so"
    command = (_COMPILER, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", os.fspath(library), os.fspath(_SOURCE))
    subprocess.run(command, check=True)
    return library
