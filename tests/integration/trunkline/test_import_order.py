"""What gRPC reads when it is imported is set by then, in whichever process."""

from __future__ import annotations

import subprocess
import sys

import pytest

SAYS = """
import importlib, os, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "grpc":
            print(os.environ.get("GRPC_EXPERIMENTS"))

sys.meta_path.insert(0, Watch())
importlib.import_module(sys.argv[1])
"""
POLLS_ITSELF = "-event_engine_client,-event_engine_listener"


def experiments(module: str, environment: dict[str, str]) -> list[str]:
    """What the environment said each time that gRPC was looked for."""
    done = subprocess.run(
        [sys.executable, "-c", SAYS, module], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize("module", ["router_svc.__main__", "relay_svc.__main__", "admin_svc.__main__"])
def test_grpc_is_told_to_poll_for_itself_before_it_is_imported(module: str) -> None:
    """`python -m` imports the package first, and so does this; an operator's own value wins."""
    assert experiments(module, {}) == [POLLS_ITSELF]
    assert experiments(module, {"GRPC_EXPERIMENTS": "mine"}) == ["mine"]
