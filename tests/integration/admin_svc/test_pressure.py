"""A database that cannot keep up: every caller is answered in time, told when to come again, and counted by what it was."""

from __future__ import annotations

import asyncio
import re

import httpx2
import psycopg

from tests.integration.admin_svc.conftest import Admin, running_admin

_FAULTS = re.compile(r'^trunkline_admin_database_faults_total\{cause="(\w+)"\} (\S+)$', re.MULTILINE)
_POOL = 3


async def faults(admin: Admin) -> dict[str, float]:
    """What was counted so far, by cause."""
    text = (await admin.http.get("/metrics")).text
    return {cause: float(count) for cause, count in _FAULTS.findall(text)}


async def test_an_exhausted_pool_is_told_from_a_locked_table_and_both_say_when_to_ask_again(migrated_dsn: str) -> None:
    """503 with Retry-After in bounded time: for those that hold a connection, and for those that got none."""
    async with (
        running_admin(migrated_dsn, TRUNKLINE_ADMIN_POOL_SIZE=str(_POOL)) as admin,
        await psycopg.AsyncConnection.connect(migrated_dsn) as holder,
    ):
        before = await faults(admin)
        await holder.execute("LOCK TABLE channels IN ACCESS EXCLUSIVE MODE")
        async with asyncio.TaskGroup() as tasks:
            calls = [tasks.create_task(admin.http.get("/api/v1/channels")) for _ in range(4 * _POOL)]
        answers: list[httpx2.Response] = [call.result() for call in calls]
        assert {answer.status_code for answer in answers} == {503}
        assert {answer.headers["retry-after"] for answer in answers} == {"1"}
        codes = {answer.json()["error_code"] for answer in answers}
        assert codes == {"OVERLOADED", "CATALOG_LOCKED"}
        after = await faults(admin)
        counted = {
            cause: count - before.get(cause, 0.0) for cause, count in after.items() if count > before.get(cause, 0.0)
        }
        assert counted.keys() == {"exhausted", "locked"}
        assert sum(counted.values()) >= len(answers), "the admin's own poll may be among them"

        await holder.rollback()
        assert (await admin.http.get("/api/v1/channels")).status_code == 200
