"""Fixtures: a database, a router that serves it, and an operator with psql."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from tests.integration.router_svc.running import ADMIN_TOKEN, Client, Database, RunningRouter, running_router


@pytest.fixture
async def router(migrated_dsn: str) -> AsyncIterator[RunningRouter]:
    """A router that serves the test's own database."""
    async with running_router(migrated_dsn) as running:
        await running.ready()
        yield running


@pytest.fixture
async def database(migrated_dsn: str) -> AsyncIterator[Database]:
    """The test's own database, as an operator with psql sees it."""
    async with await psycopg.AsyncConnection.connect(migrated_dsn, autocommit=True) as connection:
        yield Database(connection)


@pytest.fixture
async def client(router: RunningRouter) -> Client:
    """A caller that may have whole keys."""
    return router.client()


@pytest.fixture
async def reader(router: RunningRouter) -> Client:
    """A caller that may read the catalog, and is told what is wrong with it."""
    return router.client(ADMIN_TOKEN)
