"""`--sim-seed N`: tell the story of one seed instead of running thousands."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--sim-seed N` replays one schedule of the simulation."""
    parser.addoption("--sim-seed", type=int, default=None, help="run only this schedule of tests/simulation")


@pytest.fixture
def sim_seed(request: pytest.FixtureRequest) -> int | None:
    """The one seed asked for, if any; the option is known only where this folder is named."""
    given: int | None = request.config.getoption("--sim-seed", None)
    return given
