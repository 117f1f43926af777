"""What it takes to start one program so that it cannot outlive whoever started it.

Law: every program gets its own session (the terminal's Ctrl-C reaches the supervisor alone, which then stops things in
order), its output goes to a log file by descriptor (so that nothing is lost when the supervisor dies), and the kernel
signals it when its parent is gone. Waiting, restarting and stopping are the supervisor's.

The parent-death signal belongs to the *thread* that forked: start programs from the main thread only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LAUNCH = str(Path(__file__).with_name("launch.py"))


@dataclass(frozen=True, slots=True)
class User:
    """An operating system user that a program is started as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class StopStep:
    """One rung of the ladder that stops a program: send the signal, then wait that many seconds."""

    signal: signal.Signals
    seconds: float


@dataclass(frozen=True, slots=True)
class Program:
    """All that is needed to start a program, and to start it again exactly alike."""

    name: str
    argv: tuple[str, ...]  # the first is an absolute path
    environment: Mapping[str, str] = field(repr=False)  # may hold secrets
    log: Path
    directory: str = "/"
    user: User | None = None  # None: as whoever starts it
    inherited: tuple[int, ...] = ()  # descriptors it may use
    death_signal: signal.Signals = signal.SIGTERM
    stop: tuple[StopStep, ...] = (StopStep(signal.SIGTERM, 15.0),)


def launch_argv(program: Program) -> list[str]:
    """The command line that becomes `program`, to be run by this very process."""
    user = ("-", "-") if program.user is None else (str(program.user.uid), str(program.user.gid))
    # -I -S: nobody's site packages or start-up hooks, which also makes it start in a dozen milliseconds.
    launch = [sys.executable, "-I", "-S", _LAUNCH, str(int(program.death_signal)), str(os.getpid())]
    return [*launch, *user, *program.argv]


def launch_options(program: Program, log: int) -> dict[str, Any]:
    """Keyword arguments for `subprocess.Popen` or `asyncio.create_subprocess_exec`; output goes to descriptor `log`."""
    return {
        "cwd": program.directory,
        "env": dict(program.environment),
        "stdin": subprocess.DEVNULL,
        "stdout": log,
        "stderr": log,
        "pass_fds": program.inherited,
        "start_new_session": True,
    }
