"""LiteLLM's proxy, one worker, its master key asked for. Virtual keys would need its own database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.candidate import Candidate
from bench.peers.starting import installed, locked_version, program, wait_for
from bench.processes import tree
from tests.harness.ports import free_port

_KEY = "sk-canned-master"


@contextmanager
def litellm(upstream: int, directory: Path) -> Iterator[Candidate]:
    """Run it."""
    binary = installed("litellm", "bin", "litellm")
    port, log, file = free_port(), directory / "litellm.log", directory / "litellm.yaml"
    file.write_text(_configuration(upstream))
    # Its price list comes from its own package, not from the network.
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    command = [binary, "--config", str(file), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    with program([*command, "--telemetry", "False"], log, environment) as process:
        wait_for(f"http://127.0.0.1:{port}/health/liveliness", process, log)
        yield Candidate(
            name="LiteLLM",
            version=locked_version("litellm.txt", "litellm"),
            url=f"http://127.0.0.1:{port}/v1/chat/completions",
            parts=lambda: {"litellm": tree(process.pid)},
            headers={"authorization": f"Bearer {_KEY}"},
            guarded=True,
        )


def _configuration(upstream: int) -> str:
    # JSON is YAML, and needs no library.
    model = {"model": "openai/canned", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "sk-canned"}
    return json.dumps(
        {
            "model_list": [{"model_name": "canned", "litellm_params": model}],
            "general_settings": {"master_key": _KEY},
            "litellm_settings": {"telemetry": False, "set_verbose": False},
        }
    )
