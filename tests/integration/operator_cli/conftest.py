"""`trunkline up` as a process, with stand-in services."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.harness.processes import is_alive
from tests.harness.waiting import PATIENCE, eventually

_MAIN = """
import os, sys
sys.path.insert(0, {here!r})
from stand_in import main
main({kind!r}, os.environ)
"""


@dataclass(slots=True)
class Up:
    """A running `trunkline up`."""

    process: subprocess.Popen[str]
    stand_ins: Path
    data: Path
    ready: dict[str, Any] = field(default_factory=dict)

    def wait_ready(self) -> None:
        """Read the line it prints once it is ready."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"it ended: {self.complaint()}"
        self.ready = json.loads(line)

    def complaint(self) -> str:
        """What it wrote to standard error until its end."""
        return self.process.communicate(timeout=PATIENCE)[1]

    def pids(self) -> list[int]:
        """The process numbers of every child it named."""
        pids = self.ready["pids"]
        return [pids["postgres"], pids["admin"], *pids["router"], *pids["relays"]]

    def child_of(self, kind: str, number: int = 0) -> int:
        """The process number of a child by its log name, as it is now."""
        named = self.ready["pids"][kind]
        return int(named[number] if isinstance(named, list) else named)


@pytest.fixture
def start_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Up]]:
    """Start `trunkline up` on free ports; everything it started is gone at the end of the test."""
    stand_ins = tmp_path / "stand_ins"
    for kind in ("admin", "router", "relay"):
        package = stand_ins / f"{kind}_svc"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(_MAIN.format(here=str(Path(__file__).parent), kind=kind))
    monkeypatch.setenv("PYTHONPATH", str(stand_ins))
    monkeypatch.setenv("STAND_IN_DIR", str(stand_ins))
    running: list[Up] = []

    def start(*flags: str, ready: bool = True) -> Up:
        data = tmp_path / "data"
        ports = [f"--{name}-port=0" for name in ("relay", "admin", "router", "admin-grpc")]
        process = subprocess.Popen(
            [sys.executable, "-m", "operator_cli", "up", "--json", f"--data-dir={data}", *ports, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        up = Up(process, stand_ins, data)
        running.append(up)
        if ready:
            up.wait_ready()
        return up

    yield start
    for up in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            up.process.send_signal(signal.SIGTERM)
            up.process.communicate(timeout=PATIENCE)
        up.process.kill()
        up.process.communicate(timeout=PATIENCE)
    for up in running:
        if up.ready:
            eventually(lambda up=up: not any(map(is_alive, up.pids())), what="every child is gone")  # type: ignore[misc]
