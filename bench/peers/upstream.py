"""The canned upstream in a process of its own, and what clients get from it without anything between."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from bench.candidate import Candidate
from bench.peers.starting import printed_port, program


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where it listens, and its process."""

    port: int
    pid: int

    def served(self) -> int:
        """How many requests it has answered."""
        return int(httpx2.get(f"http://127.0.0.1:{self.port}/count", timeout=5).text)

    def direct(self) -> Candidate:
        """Asked by clients themselves."""
        url = f"http://127.0.0.1:{self.port}/v1/chat/completions"
        return Candidate("upstream", "bench.canned", url, lambda: {"upstream": [self.pid]})


@contextmanager
def canned(directory: Path) -> Iterator[Upstream]:
    """Run it until the end of the block."""
    with program([sys.executable, "-m", "bench.canned"], directory / "canned.log", prints_port=True) as process:
        yield Upstream(printed_port(process), process.pid)
