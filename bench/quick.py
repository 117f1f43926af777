"""What a request costs beside nginx, what the relay adds, and how fast a change is in force. `make bench-quick`, two minutes.

The harness of `make bench`, without the peers that take minutes to install.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import machine, propagation, report, rounds
from bench.candidate import Candidate
from bench.measure import JSON_32, LATENCY, SSE_64
from bench.peers.nginx import nginx
from bench.peers.trunkline import candidate, started
from bench.peers.upstream import canned

ROUNDS = 3
SECONDS = 3.0
_DESCRIPTORS = 4096


def main() -> None:
    """Measure everything and print it."""
    machine.prepare(_DESCRIPTORS)
    with tempfile.TemporaryDirectory() as name, canned(Path(name)) as upstream:
        directory = Path(name)
        with started(directory) as stack:

            @contextmanager
            def trunkline(port: int, _: Path, /) -> Iterator[Candidate]:
                yield candidate(stack, port)

            with rounds.running({"nginx": nginx, "trunkline": trunkline}, upstream, directory) as found:
                scenarios = (JSON_32, SSE_64, LATENCY)
                results = rounds.measure(found, scenarios, upstream, directory, rounds=ROUNDS, seconds=SECONDS)
            report.print_all(results, found.missing, with_bars=False)
            propagation.measure(stack)


if __name__ == "__main__":
    main()
