"""Reads from a database what the proof wrote down there, and what the database and the routers say of themselves."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import grpc
import psycopg

from prove.cluster import SERVICE_TOKEN, Cluster
from prove.history import Change, Commit, Token
from prove.records import Violation
from trunkline.rpc import dial
from trunkline.v1 import router_pb2, router_pb2_grpc

_COMMITS: Final = (
    "SELECT c.revision, c.chain, c.begun, c.ended, r.request_id FROM prove.commits AS c"
    " LEFT JOIN revisions AS r ON r.revision = c.revision WHERE c.revision > %s ORDER BY c.revision"
)
_ROWS: Final = "SELECT revision, kind, gone, come FROM prove.rows WHERE revision > %s ORDER BY number"
_HEAD: Final = "SELECT revision, encode(chain, 'hex'), digest::text FROM catalog"
_AGREEMENT: Final = 60.0
"""Seconds within which every router must hold the head once nothing changes any more."""
_LOOK: Final = 0.02

Held = tuple[int, str, str]
"""Revision, chain, digest."""


async def read_commits(dsn: str, after: int) -> list[Commit]:
    """Read the revisions above one."""
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        commits = await (await connection.execute(_COMMITS, (after,))).fetchall()
        rows = await (await connection.execute(_ROWS, (after,))).fetchall()
    changes: dict[int, list[Change]] = {}
    for revision, *change in rows:
        changes.setdefault(revision, []).append(Change(*change))
    return [
        Commit(Token(revision, chain), begun, ended, changes.get(revision, []), request_id)
        for revision, chain, begun, ended, request_id in commits
    ]


async def disagreements(cluster: Cluster) -> list[Violation]:
    """Tell where the catalog is unsound by its own check, and whether routers hold something else. Nothing may change now."""
    async with await psycopg.AsyncConnection.connect(cluster.dsn) as connection:
        faults = await (await connection.execute("SELECT * FROM catalog_digest_check()")).fetchall()
        heads = await (await connection.execute(_HEAD)).fetchall()
    found = [Violation("unsound_catalog", str(fault), time.time()) for fault in faults]
    head, held = set(heads), await _held(cluster)
    until = time.monotonic() + _AGREEMENT
    while held != head and time.monotonic() < until:
        await asyncio.sleep(_LOOK)
        held = await _held(cluster)
    if held != head:
        found.append(Violation("diverged", f"the head is {head}, routers hold {held}", time.time()))
    return found


async def _held(cluster: Cluster) -> set[Held]:
    found: set[Held] = set()
    for member in cluster.routers:
        dialled = dial(member.address, SERVICE_TOKEN)
        stub: Any = router_pb2_grpc.RouterServiceStub(dialled.channel)
        try:
            status = await stub.GetRouterStatus(
                router_pb2.GetRouterStatusRequest(), metadata=dialled.metadata, timeout=20.0
            )
            found.add((status.applied.revision, status.applied.chain, status.digest))
        except grpc.aio.AioRpcError as error:
            found.add((-1, member.name, error.code().name))
        finally:
            await dialled.channel.close()
    return found
