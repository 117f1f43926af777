"""Fixtures for every test: a real Postgres, free ports, randomness that can be replayed.

Law: a test gets its own database and its own randomness. Async tests run on asyncio through anyio's plugin, all on one
event loop. A failing test shows its seed; `--seed` gives it back.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from hypothesis import settings

from tests.harness import fuzz, ports
from tests.harness.postgres import TestPostgres, running_postgres

fuzz.register()
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--seed` replays a failed test; `--examples` makes a long proof of the drawn ones, `--whole` of the products."""
    parser.addoption("--seed", type=int, default=None, help="replay the randomness of a test that failed")
    parser.addoption("--examples", type=int, default=None, help="try drawn tests on N new examples")
    parser.addoption("--whole", action="store_true", help="run the tests marked `whole`, too")


def pytest_configure(config: pytest.Config) -> None:
    """Choose how many examples there are, before the tests are read."""
    if (many := config.getoption("--examples")) is not None:
        fuzz.register(many)
        settings.load_profile(fuzz.PROVE)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only the long proof runs."""
    if config.getoption("--whole"):
        return
    left = [item for item in items if item.get_closest_marker("whole") is not None]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item.get_closest_marker("whole") is None]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, as the services do."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
async def one_event_loop(anyio_backend: str) -> AsyncIterator[None]:
    """One event loop for all tests: gRPC's poller is the process's, and stumbles over calls of a loop that is closed."""
    assert anyio_backend == "asyncio"
    yield  # noqa: PT022 - the loop lives as long as a fixture holds it


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPostgres]:
    """The one server of this test process."""
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def database_dsn(postgres: TestPostgres) -> Iterator[str]:
    """A fresh, empty database."""
    with postgres.database() as dsn:
        yield dsn


@pytest.fixture
def migrated_dsn(postgres: TestPostgres) -> Iterator[str]:
    """A fresh database with every migration applied."""
    with postgres.migrated_database() as dsn:
        yield dsn


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A function that finds a free port at each call."""
    return ports.free_port


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A random seed, shown when the test fails; `--seed` gives it back."""
    given: int | None = request.config.getoption("--seed")
    chosen = random.SystemRandom().getrandbits(32) if given is None else given
    print(f"replay with --seed {chosen}")  # noqa: T201 — captured, and shown only on failure
    return chosen


@pytest.fixture
def rng(seed: int) -> random.Random:
    """Randomness from `seed`."""
    return random.Random(seed)
