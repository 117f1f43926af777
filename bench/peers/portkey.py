"""Portkey's gateway on Node. The request's headers say where it goes; the open gateway knows no API keys of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.candidate import Candidate
from bench.peers.starting import installed, program, wait_for
from bench.processes import tree
from tests.harness.ports import free_port

_GATEWAY = ("portkey", "node_modules", "@portkey-ai", "gateway")


@contextmanager
def portkey(upstream: int, directory: Path) -> Iterator[Candidate]:
    """Run it."""
    node = installed("portkey", "node")
    server = installed(*_GATEWAY, "build", "start-server.js")
    version = json.loads(Path(installed(*_GATEWAY, "package.json")).read_text())["version"]
    port, log = free_port(), directory / "portkey.log"
    with program([node, server, f"--port={port}", "--headless"], log, {"NODE_ENV": "production"}) as process:
        wait_for(f"http://127.0.0.1:{port}/", process, log)
        yield Candidate(
            name="Portkey",
            version=version,
            url=f"http://127.0.0.1:{port}/v1/chat/completions",
            parts=lambda: {"portkey": tree(process.pid)},
            headers={
                "authorization": "Bearer sk-canned",
                "x-portkey-provider": "openai",
                "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1",
            },
        )
