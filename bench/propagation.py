"""How fast a change is in force on every router, beside a bare query of the database."""

from __future__ import annotations

import statistics
import time

import psycopg

from bench.load import quantile
from tests.acceptance.stack import Stack, unique

CHANGES = 200


def measure(stack: Stack) -> None:
    """Commit to in force on both routers: the wait of `wait=ALL` over that of `wait=NONE`, beside a database round trip."""
    channel = stack.channel("http://127.0.0.1:9/v1", unique("model"))
    path = f"/api/v1/channels/{channel['id']}"

    def change(number: int, wait: str) -> float:
        start = time.perf_counter()
        stack.ask("PATCH", path, {"remark": str(number)}, wait=wait)
        return (time.perf_counter() - start) * 1e3

    with psycopg.connect(stack.addresses["dsn"], autocommit=True) as connection:

        def trip() -> float:
            start = time.perf_counter()
            connection.execute("SELECT revision FROM catalog")
            return (time.perf_counter() - start) * 1e3

        rows = [(change(number, "NONE"), change(number, "ALL"), trip()) for number in range(CHANGES)]
    print(f"\n{CHANGES} changes through the admin's HTTP face, 2 routers, ms (p50, p99)\n")
    none, every, trips = (sorted(column) for column in zip(*rows, strict=True))
    for name, column in (
        ("answered after commit", none),
        ("answered in force on all", every),
        ("one bare query", trips),
    ):
        print(f"  {name:38} {quantile(column, 0.5):8.2f} {quantile(column, 0.99):8.2f}")
    print(f"  {'commit to in force, p50 of the pairs':38} {statistics.median(b - a for a, b, _ in rows):8.2f}")
