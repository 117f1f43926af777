"""A row in `routers` is not an identity: whoever answers there learns nothing that is of use elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest

from operator_cli.certificates import CertsOptions, make
from relay_svc.plan import Asked
from relay_svc.router_client import LinkSettings, RouterClient
from relay_svc.router_client.link import Standing
from relay_svc.settings import Settings as RelaySettings
from router_svc.settings import Settings as RouterSettings
from tests.harness.waiting import eventually_async
from tests.integration.admin_svc.conftest import running_admin
from tests.integration.router_svc.running import ADMIN_TOKEN, SERVICE_TOKEN, environment, running_router
from trunkline import auth
from trunkline.secret import Secret
from trunkline.settings import read
from trunkline.v1 import router_pb2 as pb

_SERVICE = "/trunkline.v1.RouterService/"


@dataclass
class Impostor:
    """Takes whatever is sent to it, and answers as a router in its best state would."""

    address: str = ""
    metadata: list[Mapping[str, str]] = field(default_factory=list)
    messages: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def tokens(self) -> set[str]:
        """Every token that it was shown."""
        return {auth.bearer(each.get("authorization")) for each in self.metadata}

    async def answer(self, request: Any, _context: Any) -> bytes:
        """A status, whatever was asked."""
        self.messages.append(("unary", request))
        return self._status()

    async def stream(self, requests: Any, _context: Any) -> AsyncIterator[bytes]:
        """Read on and say nothing but that it is a router with everything in force."""
        yield pb.InvalidateResponse(router_id="false", state=pb.ROUTER_STATE_SERVING).SerializeToString()
        async for request in requests:
            self.messages.append(("stream", request))

    def _status(self) -> bytes:
        return pb.GetRouterStatusResponse(router_id="false", state=pb.ROUTER_STATE_SERVING).SerializeToString()

    def service(self, details: Any) -> Any:
        """The handler of any method."""
        self.metadata.append({name: str(value) for name, value in details.invocation_metadata})
        if details.method in (_SERVICE + "GetRouterStatus", _SERVICE + "PickChannel", _SERVICE + "ListModels"):
            return grpc.unary_unary_rpc_method_handler(self.answer)
        return grpc.stream_stream_rpc_method_handler(self.stream)

    @contextlib.asynccontextmanager
    async def serving(self, certs: Path | None, role: str) -> AsyncIterator[Impostor]:
        """Serve on loopback, with a service's certificate when there are any."""
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((_Generic(self),))
        if certs is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            pair = ((certs / f"{role}-key.pem").read_bytes(), (certs / f"{role}.pem").read_bytes())
            port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
        self.address = f"127.0.0.1:{port}"
        await server.start()
        try:
            yield self
        finally:
            await server.stop(None)


class _Generic(grpc.GenericRpcHandler):
    def __init__(self, impostor: Impostor) -> None:
        self._impostor = impostor

    def service(self, handler_call_details: Any) -> Any:
        """Give the impostor's handler."""
        return self._impostor.service(handler_call_details)


def tls_settings(certs: Path | None, role: str) -> dict[str, str]:
    """What a service is told of its certificates."""
    if certs is None:
        return {}
    files = {"CERT": f"{role}.pem", "KEY": f"{role}-key.pem", "CA": "ca.pem"}
    return {f"TRUNKLINE_TLS_{name}": str(certs / file) for name, file in files.items()}


@pytest.fixture(params=["loopback", "tls"])
def certs(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Certificates as `trunkline certs` makes them, or none."""
    if request.param == "loopback":
        return None
    list(make(CertsOptions(tmp_path, (), 30, renew=False), dt.datetime.now(dt.UTC)))
    return tmp_path


@contextlib.asynccontextmanager
async def relay_of(certs: Path | None, address: str) -> AsyncIterator[RouterClient]:
    """A relay's client of routers, as its settings make it."""
    given = {"TRUNKLINE_SERVICE_TOKEN": SERVICE_TOKEN, "TRUNKLINE_RELAY_ROUTERS": address}
    settings = read(RelaySettings, given | tls_settings(certs, "relay"))
    links = LinkSettings(settings.service_token, settings, status_interval=0.1)
    client = RouterClient(settings.routers, links, max_waiting=10)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(client.run(lambda: None))
        try:
            await eventually_async(lambda: client.ready)
            yield client
        finally:
            running.cancel()


async def lease(dsn: str, router_id: str, address: str) -> None:
    """Write a false row, as whoever may write there can."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO routers (id, address, incarnation, applied_revision, applied_chain, state, version, expire_time)"
            " VALUES (%s, %s, 'x', 0, '\\x00', 'SERVING', 'x', now() + interval '1 hour')",
            (router_id, address),
        )


@pytest.mark.parametrize("role", ["relay", "admin"])
async def test_a_false_row_earns_no_token_and_no_pick(migrated_dsn: str, certs: Path | None, role: str) -> None:
    """Under TLS nothing at all reaches it, though its certificate is the CA's; on loopback nothing of use."""
    same = {name: environment(migrated_dsn)[name] for name in ("TRUNKLINE_PEPPER", "TRUNKLINE_ENCRYPTION_KEYS")}
    async with (
        Impostor().serving(certs, role) as impostor,
        running_router(migrated_dsn, TRUNKLINE_DRAIN_TIMEOUT="1s", **tls_settings(certs, "router")) as router,
        running_admin(migrated_dsn, **same, **tls_settings(certs, "admin")) as admin,
    ):
        await lease(migrated_dsn, "false", impostor.address)
        async with relay_of(certs, router.address) as relay:
            await eventually_async(lambda: impostor.address in relay._links)
            links = admin.running.broadcaster._links
            await eventually_async(lambda: "false" in links and links["false"][0].fault != "not connected yet")
            if certs is None:
                await eventually_async(lambda: len(impostor.tokens) >= 2)  # the admin's and the relay's
            asked = Asked(Secret("sk-a-clients-key"), "m", "127.0.0.1", 3)
            loop = asyncio.get_running_loop()
            for _ in range(20):
                with contextlib.suppress(Exception):
                    await relay.pick(asked, loop.time() + 0.2)
            assert relay._links[impostor.address].standing is Standing.DOWN
        assert not impostor.tokens & {ADMIN_TOKEN, SERVICE_TOKEN}
        assert all(b"sk-a-clients-key" not in message for _, message in impostor.messages)
        if certs is not None:
            assert impostor.tokens == set()
        table = router.router._tokens
        assert all(table.scopes_of(token) == auth.NO_SCOPES for token in impostor.tokens)


async def test_a_named_router_that_is_one_is_asked(migrated_dsn: str, certs: Path | None) -> None:
    """By its own bound token; and the admin's stream to it is open."""
    tls = tls_settings(certs, "router") | {"TRUNKLINE_DRAIN_TIMEOUT": "1s"}
    same = {name: environment(migrated_dsn)[name] for name in ("TRUNKLINE_PEPPER", "TRUNKLINE_ENCRYPTION_KEYS")}
    async with (
        running_router(migrated_dsn, **tls) as one,
        running_router(migrated_dsn, **tls) as two,
        running_admin(migrated_dsn, **same, **tls_settings(certs, "admin")) as admin,
        relay_of(certs, one.address) as relay,
    ):
        await eventually_async(lambda: two.address in relay._links)
        await eventually_async(lambda: relay._links[two.address].standing is Standing.SERVING)
        for router in (one, two):
            identity = router.router.cache.presence
            assert identity is not None
            await eventually_async(partial(admin.running.broadcaster.is_connected, identity.who.id))


def test_a_bound_token_is_for_one_use_at_one_address() -> None:
    """Alike in nothing but how it is made."""
    secret = Secret(SERVICE_TOKEN)
    uses = (auth.TO_INVALIDATE, auth.TO_PICK, auth.IS_ROUTER)
    made = {auth.bound(secret, use, f"127.0.0.1:{port}").reveal() for use in uses for port in (1, 2)}
    assert len(made) == 6
    assert not any(SERVICE_TOKEN in token for token in made)
    assert auth.bound(Secret(ADMIN_TOKEN), auth.TO_PICK, "127.0.0.1:1").reveal() not in made


def test_a_router_beyond_loopback_asks_its_callers_for_certificates(tmp_path: Path) -> None:
    """Both ends prove who they are, unless plaintext was asked for."""
    list(make(CertsOptions(tmp_path, (), 30, renew=False), dt.datetime.now(dt.UTC)))
    away = environment("dbname=x") | {"TRUNKLINE_ROUTER_LISTEN": "10.0.0.1:50051"}
    mutual = tls_settings(tmp_path, "router")
    assert read(RouterSettings, away | mutual).tls_ca
    one_sided = {name: value for name, value in mutual.items() if not name.endswith("CA")}
    with pytest.raises(Exception, match="TRUNKLINE_TLS_CA"):
        read(RouterSettings, away | one_sided)
