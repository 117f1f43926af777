"""Trunkline as `trunkline up` starts it, everything on: one relay, two routers, the admin and Postgres.

All its processes are counted, the supervisor too, so that work cannot hide by moving; the relay is shown alone beside.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.candidate import Candidate
from bench.processes import tree
from tests.acceptance.stack import Stack, running, unique
from trunkline import __version__


@contextmanager
def trunkline(upstream: int, directory: Path) -> Iterator[Candidate]:
    """Run it, with one channel that leads to the upstream."""
    with started(directory) as stack:
        yield candidate(stack, upstream)


@contextmanager
def started(directory: Path, **environment: str) -> Iterator[Stack]:
    """Run it without any channel."""
    folder = directory / "trunkline"
    folder.mkdir()
    # Postgres drops root and must reach its data.
    directory.chmod(0o755)
    folder.chmod(0o755)
    with running(folder, **environment) as stack:
        yield stack


def candidate(stack: Stack, upstream: int, path: str = "/v1") -> Candidate:
    """A channel of its own for `path` of the upstream (see `bench.canned`), and how to ask for it."""
    model = unique("model")
    stack.channel(f"http://127.0.0.1:{upstream}{path}", model)
    return Candidate(
        name="Trunkline",
        version=__version__,
        url=f"{stack.relay}/v1/chat/completions",
        parts=lambda: parts(stack),
        headers={"authorization": f"Bearer {stack.api_key()}"},
        model=model,
        guarded=True,
    )


def parts(stack: Stack) -> dict[str, list[int]]:
    """The processes of each part; the supervisor without what it supervises."""
    pids = stack.addresses["pids"]
    listed = {
        part: pids[part] if isinstance(pids[part], list) else [pids[part]]
        for part in ("relay", "router", "admin", "postgres")
    }
    below = {part: [pid for root in roots for pid in tree(root)] for part, roots in listed.items()}
    return {**below, "supervisor": [stack.process.pid]}
