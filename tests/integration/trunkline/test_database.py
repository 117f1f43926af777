"""The pool on a real server that cuts sessions, or says nothing any more.

Law: whoever asks gets a session that lives, or is refused within the time given; never a pause for each one that was cut.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from tests.harness.waiting import PATIENCE
from trunkline.database import Connection, Pool, PoolExhausted, open_pool
from trunkline.secret import Secret

_SIZE = 4


@pytest.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    """A pool of four."""
    async with open_pool(Secret(database_dsn), "pool under test", max_size=_SIZE) as opened:
        yield opened


async def everybody(pool: Pool) -> list[int]:
    """Borrow every session at a time; give the backends."""
    async with AsyncExitStack() as stack:
        borrowed: list[Connection] = [await stack.enter_async_context(pool.connection(5.0)) for _ in range(_SIZE)]
        return [connection.info.backend_pid for connection in borrowed]


async def test_after_every_session_was_cut_a_living_one_is_lent_without_a_pause(pool: Pool, database_dsn: str) -> None:
    """The pool's own check would pause for a second after the first that it finds dead, and for two after the next."""
    backends = await everybody(pool)
    with psycopg.connect(database_dsn, autocommit=True) as hand:
        hand.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::int[]) AS pid", (backends,))
    async with pool.connection(0.9) as connection:
        assert connection.info.backend_pid not in backends


async def silence(pool: Pool, backends: list[int]) -> None:
    """Freeze each backend that is lent, until none is."""
    while True:
        async with pool.connection(0.2) as connection:
            backends.append(connection.info.backend_pid)
            os.kill(backends[-1], signal.SIGSTOP)


async def test_backends_that_say_nothing_are_given_up_within_the_time_given(pool: Pool) -> None:
    """Only a check of the session tells; the server cannot be asked to cancel it."""
    backends = await everybody(pool)
    for backend in backends:
        os.kill(backend, signal.SIGSTOP)
    try:
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(PoolTimeout):
                await silence(pool, backends)
    finally:
        for backend in backends:
            os.kill(backend, signal.SIGCONT)


async def test_a_pool_that_is_exhausted_says_so_and_is_whole_again_after(pool: Pool) -> None:
    """Told apart from a server that is gone, which is no PoolExhausted."""
    async with AsyncExitStack() as stack:
        for _ in range(_SIZE):
            await stack.enter_async_context(pool.connection(5.0))
        with pytest.raises(PoolExhausted):
            await pool.getconn(0.1)
    assert len(set(await everybody(pool))) == _SIZE


async def test_a_server_that_cannot_be_reached_is_no_exhausted_pool() -> None:
    """However many wait for it."""
    async with open_pool(Secret("host=127.0.0.1 port=9"), "pool under test", max_size=_SIZE) as gone:
        for _ in range(2 * _SIZE):
            with pytest.raises(PoolTimeout) as fault:
                await gone.getconn(0.05)
            assert not isinstance(fault.value, PoolExhausted)
