"""Puts load on one address with Debian's `wrk` or `h2load` and reads what they say.

`wrk` posts for so many seconds. `h2load` posts so many times: a stream lasts long, so that those cut off at the end of a
measured time would be paid for and not counted.
"""

from __future__ import annotations

import json
import math
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = """
wrk.method = "POST"
local file = io.open(%s, "rb")
wrk.body = file:read("*a")
file:close()
%s
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('{"requests":%%d,"seconds":%%f,"failed":%%d,"p50":%%f,"p99":%%f}\\n',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.timeout + errors.status,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""
_PATIENCE = 30.0  # seconds past the time that a run should take
_ATTEMPT = 30  # seconds after which wrk counts a request as failed


@dataclass(frozen=True, slots=True)
class Post:
    """What is asked, and of whom."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Load:
    """What one run did; latencies in milliseconds. `requests` are those answered, `failed` those of them in vain."""

    requests: int
    seconds: float
    failed: int
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def for_seconds(post: Post, directory: Path, *, connections: int, seconds: float) -> Load:
    """Post the same body over and over with wrk."""
    body, script = directory / "body", directory / "post.lua"
    body.write_bytes(post.body)
    lines = [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in _headers(post).items()]
    script.write_text(_SCRIPT % (json.dumps(str(body)), "\n".join(lines)))
    whole = max(1, round(seconds))
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{whole}s",
        "--timeout",
        f"{_ATTEMPT}s",
        "-s",
        str(script),
        post.url,
    ]
    return Load(**json.loads(_run(command, seconds).splitlines()[-1]))


def so_often(post: Post, directory: Path, *, connections: int, requests: int, seconds: float) -> Load:
    """Post so many times with h2load, over HTTP/1.1; `seconds` is what it may be expected to take."""
    body, log = directory / "body", directory / "h2load.log"
    body.write_bytes(post.body)
    log.unlink(missing_ok=True)
    headers = [part for name, value in _headers(post).items() for part in ("-H", f"{name}: {value}")]
    counts = [f"-n{requests}", f"-c{connections}", f"--log-file={log}", f"-d{body}"]
    began = time.monotonic()
    _run(["h2load", "--h1", *counts, *headers, post.url], seconds)
    return read_log(log.read_text(), requests, time.monotonic() - began)


def read_log(log: str, requests: int, seconds: float) -> Load:
    """Read h2load's log: a line a request, with its start, its status and its microseconds. Those missing have failed."""
    rows = [line.split("\t") for line in log.splitlines()]
    took = sorted(int(micros) / 1e3 for _, status, micros in rows if status == "200")
    missing = requests - len(took)
    return Load(requests, seconds, missing, quantile(took, 0.5), quantile(took, 0.99))


def together(first: Load, second: Load) -> Load:
    """Two runs as one; latencies are those of the longer one, since quantiles do not add."""
    longer = max(first, second, key=lambda run: run.requests)
    return Load(
        first.requests + second.requests,
        first.seconds + second.seconds,
        first.failed + second.failed,
        longer.p50,
        longer.p99,
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the values do not exceed; not a number where there are none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def _headers(post: Post) -> dict[str, str]:
    return {"content-type": "application/json", **post.headers}


def _run(command: list[str], seconds: float) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + _PATIENCE)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{command[0]} did not end within {seconds + _PATIENCE:.0f} s") from None
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr or done.stdout}")
    return done.stdout
