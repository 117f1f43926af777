"""Together with the real router: what the admin commits is what routers decide by."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc

from tests.harness.postgres import ROUTER, as_role
from tests.harness.waiting import PATIENCE, eventually_async
from tests.integration.admin_svc.conftest import ENVIRONMENT, SERVICE_TOKEN, Admin
from trunkline.rpc import read_error
from trunkline.v1 import router_pb2, router_pb2_grpc


@contextlib.asynccontextmanager
async def real_router(dsn: str, port: int, log: Path) -> AsyncIterator[router_pb2_grpc.RouterServiceStub]:
    """Run `python -m router_svc` and give a stub for it."""
    address = f"127.0.0.1:{port}"
    variables = {
        "PATH": os.environ["PATH"],  # noqa: TID251
        **ENVIRONMENT,
        "TRUNKLINE_DSN": as_role(dsn, ROUTER),
        "TRUNKLINE_ROUTER_LISTEN": address,
    }
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "router_svc",
            env=variables | {"TRUNKLINE_ROUTER_HTTP_LISTEN": "127.0.0.1:0", "TRUNKLINE_ROUTER_ID": address},
            stdout=output,
            stderr=output,
        )
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            yield router_pb2_grpc.RouterServiceStub(channel)
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE)


async def test_what_a_mutation_calls_visible_a_router_decides_by(
    admin: Admin, free_port: Callable[[], int], tmp_path: Path
) -> None:
    """A channel created, switched off and deleted is so at the very next pick, without a token given."""
    port = free_port()
    async with real_router(admin.dsn, port, tmp_path / "router.log") as router:

        async def pick() -> Any:
            request = router_pb2.PickChannelRequest(pick=router_pb2.Pick(group="default", model="m"))
            metadata = (("authorization", f"Bearer {SERVICE_TOKEN}"),)
            try:
                plan = (await router.PickChannel(request, metadata=metadata, timeout=PATIENCE)).plan
            except grpc.aio.AioRpcError as error:
                return read_error(error).reason
            return [(candidate.channel_name, candidate.key) for candidate in plan.candidates]

        async def in_force() -> bool:
            await admin.running.broadcaster.sync(0.2)
            return admin.running.broadcaster.is_connected(f"127.0.0.1:{port}")

        await eventually_async(in_force)
        full = {"visible_on": 1, "of": 1, "lagging": [], "lapsed": []}
        body = {"name": "a", "provider": "p", "base_url": "http://h", "keys": ["sk-upstream-key"], "models": ["m"]}
        created = await admin.http.post("/api/v1/channels", json=body)
        assert created.json()["visibility"] == full, (tmp_path / "router.log").read_text()
        assert await pick() == [("a", "sk-upstream-key")]
        path = f"/api/v1/channels/{created.json()['channel']['id']}"
        off = await admin.http.patch(path, json={"status": "DISABLED"})
        assert off.json()["visibility"] == full
        assert await pick() == "NO_CHANNEL"
        gone = await admin.http.delete(path)
        assert gone.json()["visibility"] == full
        assert await pick() == "MODEL_UNKNOWN"
        sync = (await admin.http.post("/api/sync/channels")).json()
        assert [row["reached"] for row in sync["routers"]] == [True]
        listed = (await admin.http.get("/api/v1/routers")).json()["routers"]
        assert [(row["state"], row["connected"]) for row in listed] == [("SERVING", True)]
