"""Starts the stack again and again; the first request after each must succeed. `python -m bench.cold_start 200`."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench.peers.upstream import canned
from tests.acceptance.stack import running, unique


def main(starts: int) -> None:
    """Count first requests that failed, and time the starts."""
    seconds, failures, key, model = [], [], "", unique("model")
    with tempfile.TemporaryDirectory() as name, canned(Path(name)) as upstream:
        directory = Path(name)
        directory.chmod(0o755)
        for start in range(starts):
            began = time.perf_counter()
            with running(directory) as stack:
                seconds.append(time.perf_counter() - began)
                if not key:
                    stack.channel(f"http://127.0.0.1:{upstream.port}/v1", model)
                    key = stack.api_key()
                try:
                    stack.openai(key).chat.completions.create(model=model, messages=[])
                except Exception as error:  # noqa: BLE001 - whatever it is, it is what is being counted
                    failures.append(f"start {start}: {error}")
    print(f"{starts - len(failures)} of {starts} first requests succeeded")
    print(f"start to ready, s: median {statistics.median(seconds):.2f} ({min(seconds):.2f}–{max(seconds):.2f})")
    print("\n".join(failures))
    raise SystemExit(bool(failures))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
