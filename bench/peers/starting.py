"""Starting a program, waiting until it answers, and ending it with everything below it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2

from bench.candidate import NotHere
from bench.processes import tree
from operator_cli.settings import inherited_environment
from tests.harness.waiting import eventually

PEERS = Path(__file__).parent.parent / ".peers"
START_SECONDS = 120.0
_STOP_SECONDS = 10.0


@contextmanager
def program(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, *, prints_port: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """Run a program until the end of the block, all that it says in `log`; for `printed_port` its standard output in a pipe.

    A pipe is for those that say no more than that: nobody empties it, and LiteLLM came to a halt after 900 lines of a log.
    """
    inherited = {**inherited_environment(), **(environment or {})}
    with log.open("a") as file:
        output = subprocess.PIPE if prints_port else file
        process = subprocess.Popen(command, stdout=output, stderr=file, text=True, env=inherited)
    try:
        yield process
    finally:
        end(process)
        if process.stdout is not None:
            process.stdout.close()


def end(process: subprocess.Popen[str]) -> None:
    """Ask it to end, then make everything that is left of it end."""
    below = tree(process.pid)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        for pid in below:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    process.wait(_STOP_SECONDS)


def printed_port(process: subprocess.Popen[str]) -> int:
    """The port that a program prints once it listens. Raises NotHere where it ends instead."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise NotHere(f"{process.args!r} ended at once")
    return int(line)


def wait_for(url: str, process: subprocess.Popen[str], log: Path) -> None:
    """Wait until anything answers there. Raises NotHere with the end of its log where the program ends instead."""

    def answers() -> bool:
        if process.poll() is not None:
            raise NotHere(f"it ended at once: {log.read_text()[-300:].strip()}")
        try:
            httpx2.get(url, timeout=5)
        except httpx2.HTTPError:
            return False
        return True

    eventually(answers, START_SECONDS, what=f"an answer from {url}")


def installed(name: str, *path: str) -> str:
    """A file of an installed peer. Raises NotHere with the reason that the installation left."""
    reason = PEERS / f"{name}.failed"
    if reason.exists():
        # The first line says what; the rest may hold addresses that are nobody's business in a result.
        raise NotHere(f"not installed: {reason.read_text().strip().partition(chr(10))[0]}")
    found = PEERS.joinpath(name, *path)
    if not found.exists():
        raise NotHere(f"not installed: {found} is not there; run make bench-peers")
    return str(found)


def locked_version(lock: str, package: str) -> str:
    """The version that a lock file in this folder pins."""
    for line in (Path(__file__).parent / lock).read_text().splitlines():
        name, _, version = line.partition("==")
        if name == package:
            return version.split()[0]
    raise NotHere(f"{lock} does not pin {package}")
