"""One whole Trunkline a test process, with a real LLM server behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from operator_cli import demo_upstream
from tests.acceptance.stack import Stack, running


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack as `trunkline up --demo` starts it, with a real model."""
    with running(tmp_path_factory.mktemp("stack"), "--demo") as started:
        yield started


@pytest.fixture(scope="session")
def llm(stack: Stack) -> str:
    """The base URL of the real LLM server."""
    require_model(stack)
    channels = stack.ask("GET", "/api/v1/channels")["channels"]
    return next(str(channel["base_url"]) for channel in channels if channel["name"] == "demo")


@pytest.fixture(scope="session")
def model(stack: Stack) -> str:
    """The name of the real model at its server."""
    require_model(stack)
    return str(stack.addresses["model"])


def require_model(stack: Stack) -> None:
    """Skips a test on a machine that cannot run the model, with what the machine lacks."""
    if "model" not in stack.addresses:
        pytest.skip(f"no demo model: {demo_upstream.fault()}")
