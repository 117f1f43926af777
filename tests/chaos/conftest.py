"""One cluster for all tests here, as its start costs more than what each test does to it."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from prove.campaign import Campaign, Rates
from prove.cluster import Cluster

_RATES = Rates(picks=700.0, changes=12.0, before=0.7, after=0.7)
_HOLD = 0.5  # faults half as long as in the long form, where their length is not the point


def open_directory() -> Path:
    """A folder that Postgres can reach, which runs as another user where tests run as root."""
    directory = Path(tempfile.mkdtemp(prefix="trunkline-chaos-"))
    directory.chmod(0o755)
    return directory


@pytest.fixture(scope="module")
async def campaign(request: pytest.FixtureRequest) -> AsyncIterator[Campaign]:
    """A running campaign; `--seed` gives its randomness back."""
    given: int | None = request.config.getoption("--seed")
    seed = random.SystemRandom().getrandbits(32) if given is None else given
    directory = open_directory()
    print(f"replay with --seed {seed}; logs in {directory}")  # noqa: T201 — captured, and shown only on failure
    running = Campaign(Cluster(directory, admins=2, routers=3), seed, _RATES, hold=_HOLD, shared=True)
    try:
        await running.start()
        yield running
    finally:
        await running.cluster.close()
    if not running.findings.broken:
        shutil.rmtree(directory, ignore_errors=True)
