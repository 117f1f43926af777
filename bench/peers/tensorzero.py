"""TensorZero's gateway in Rust. Its Python package starts the real HTTP gateway inside a process that does nothing else.

Without authentication, which needs a database prepared by a program that the package does not have, and without
observability, which needs ClickHouse: both would cost it time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.candidate import Candidate
from bench.peers.starting import installed, locked_version, printed_port, program, wait_for
from bench.processes import tree

_CONFIGURATION = """
[gateway]
observability.enabled = false

[models.canned]
routing = ["canned"]

[models.canned.providers.canned]
type = "openai"
model_name = "canned"
api_base = "http://127.0.0.1:{upstream}/v1/"
api_key_location = "env::CANNED_KEY"
"""


@contextmanager
def tensorzero(upstream: int, directory: Path) -> Iterator[Candidate]:
    """Run it."""
    python = installed("tensorzero", "bin", "python")
    starter = str(Path(__file__).parent / "tensorzero_gateway.py")
    log, file = directory / "tensorzero.log", directory / "tensorzero.toml"
    file.write_text(_CONFIGURATION.format(upstream=upstream))
    environment = {"CANNED_KEY": "sk-canned", "TOKIO_WORKER_THREADS": "1", "RUST_LOG": "error"}
    with program([python, "-P", starter, str(file)], log, environment, prints_port=True) as process:
        port = printed_port(process)
        wait_for(f"http://127.0.0.1:{port}/status", process, log)
        yield Candidate(
            name="TensorZero",
            version=locked_version("tensorzero.txt", "tensorzero"),
            url=f"http://127.0.0.1:{port}/openai/v1/chat/completions",
            parts=lambda: {"tensorzero": tree(process.pid)},
            model="tensorzero::model_name::canned",
        )
