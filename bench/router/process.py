"""One real router process on a real Postgres, and callers in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.processes import cpu_seconds
from bench.router.catalogs import ENCRYPTION_KEYS, PEPPER, filled
from bench.router.client import TOKEN
from tests.harness.ports import free_port
from tests.harness.postgres import TestPostgres, running_postgres

ADMIN_TOKEN: Final = "the-admin-token-0123456789"  # noqa: S105 - of this benchmark
_PATIENCE: Final = 120.0  # seconds for a router to be ready


@dataclass(frozen=True, slots=True)
class Running:
    """A router that serves."""

    pid: int
    grpc: str
    http: str
    dsn: str
    channels: int

    def call(self, mode: str, in_flight: int, seconds: float) -> dict[str, Any]:
        """Have a caller call; tell what it had answered, and the router's CPU µs a pick."""
        before = cpu_seconds([self.pid])
        caller = self.caller(mode, in_flight, seconds)
        printed, _ = caller.communicate(timeout=seconds + 60)
        answer: dict[str, Any] = json.loads(printed)
        return {**answer, "cpu_us": (cpu_seconds([self.pid]) - before) / answer["picks"] * 1e6}

    def caller(self, mode: str, in_flight: int, seconds: float) -> subprocess.Popen[str]:
        """Start a caller."""
        asked = (self.grpc, self.channels, mode, in_flight, seconds)
        command = [sys.executable, "-m", "bench.router.client", *map(str, asked)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def metrics(self) -> dict[str, float]:
        """Read its metrics."""
        with urllib.request.urlopen(f"http://{self.http}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


@contextmanager
def postgres() -> Iterator[TestPostgres]:
    """A Postgres of its own."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        with running_postgres(directory) as server:
            yield server


@contextmanager
def router(server: TestPostgres, channels: int) -> Iterator[Running]:
    """A router of a catalog of so many channels, ready."""
    with server.migrated_database() as dsn:
        filled(dsn, channels)
        grpc, http = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        process = subprocess.Popen([sys.executable, "-m", "router_svc"], env=_environment(dsn, grpc, http))
        try:
            running = Running(process.pid, grpc, http, dsn, channels)
            _await_ready(running, process)
            yield running
        finally:
            process.terminate()
            process.wait(30)


def _environment(dsn: str, grpc: str, http: str) -> dict[str, str]:
    return os.environ | {  # noqa: TID251 - what a child inherits
        "TRUNKLINE_DSN": dsn,
        "TRUNKLINE_PEPPER": PEPPER,
        "TRUNKLINE_ENCRYPTION_KEYS": ENCRYPTION_KEYS,
        "TRUNKLINE_ADMIN_TOKEN": ADMIN_TOKEN,
        "TRUNKLINE_SERVICE_TOKEN": TOKEN,
        "TRUNKLINE_ROUTER_LISTEN": grpc,
        "TRUNKLINE_ROUTER_HTTP_LISTEN": http,
        "TRUNKLINE_LOG_LEVEL": "WARNING",
    }


def _await_ready(running: Running, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError("the router ended before it was ready")
        try:
            urllib.request.urlopen(f"http://{running.http}/readyz", timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("the router is not ready")
