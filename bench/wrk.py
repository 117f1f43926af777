"""Runs `wrk` (Debian's package) against one URL and reads what it says."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = """
wrk.method = "POST"
wrk.body = %s
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer %s"
done = function(summary, latency, requests)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format('{"requests":%%d,"seconds":%%f,"failed":%%d,"refused":%%d,"p50":%%f,"p99":%%f}\\n',
    summary.requests, summary.duration / 1e6, failed, summary.errors.status,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run did; latencies in milliseconds."""

    requests: int
    seconds: float
    failed: int
    refused: int
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def run(url: str, body: str, token: str, directory: Path, *, connections: int, seconds: int) -> Load:
    """Post the same body over and over. Raises RuntimeError where wrk is not installed or any request failed."""
    if shutil.which("wrk") is None:
        raise RuntimeError("wrk is needed: apt-get install wrk")
    script = directory / "post.lua"
    script.write_text(SCRIPT % (json.dumps(body), token))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script), url]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30).stdout
    load = Load(**json.loads(printed.strip().splitlines()[-1]))
    if load.failed or load.refused:
        raise RuntimeError(f"{url}: {load.failed} requests failed, {load.refused} were refused")
    return load
