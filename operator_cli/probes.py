"""Whether a child is ready, asked the way anybody could ask.

Law: a probe answers within its own time limit and never raises for a child that is not there yet.
"""

from __future__ import annotations

import asyncio

import psycopg

from operator_cli.child import Probe
from operator_cli.errors import OperatorError
from operator_cli.ports import HOST, Port

_SECONDS = 1.0  # short, so that a child that died with a connection in its queue is noticed


def http(port: Port, path: str = "/readyz") -> Probe:
    """Ready when GET `path` answers 200."""
    request = f"GET {path} HTTP/1.1\r\nHost: {port.address}\r\nConnection: close\r\n\r\n".encode()

    async def probe() -> bool:
        try:
            async with asyncio.timeout(_SECONDS):
                reader, writer = await asyncio.open_connection(HOST, port.number)
                try:
                    writer.write(request)
                    status_line = await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False
        return status_line.split()[1:2] == [b"200"]

    return probe


def postgres(dsn: str) -> Probe:
    """Ready when it takes connections."""

    async def probe() -> bool:
        try:
            async with asyncio.timeout(_SECONDS):
                connection = await psycopg.AsyncConnection.connect(dsn)
                await connection.close()
        except (psycopg.OperationalError, TimeoutError):
            return False
        return True

    return probe


async def check_database(dsn: str) -> None:
    """Make sure that the database an operator named answers. Raises OperatorError with the server's own words."""
    try:
        async with asyncio.timeout(10.0):
            connection = await psycopg.AsyncConnection.connect(dsn)
            await connection.close()
    except TimeoutError:
        raise OperatorError("the database given with --dsn did not answer within 10 s") from None
    except psycopg.Error as error:
        raise OperatorError(f"the database given with --dsn cannot be used: {error}") from None
