"""The relay's own gRPC call of a real gRPC server, in the clear and with TLS, and the peers that TLS keeps out.

Law: who cannot prove its name is told nothing, and what went wrong is said in words, without a token.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from relay_svc.router_client import LinkSettings, RouterClient
from relay_svc.router_client.call import CallEnded, Peer, open_call
from tests.harness.waiting import eventually_async
from tests.integration.admin_svc.test_tls import certificate
from tests.integration.relay_svc.clients import Line
from tests.integration.relay_svc.clients import Peer as Far
from tests.integration.relay_svc.pick_peers import PATH, TOKEN_TEXT, nothing_left, on_each_loop, tls_of, whom
from tests.integration.relay_svc.routers import SCOPES, TOKEN, Router
from tests.integration.relay_svc.test_coze import lines_with
from tests.integration.relay_svc.test_upstream_tls import identity
from trunkline.auth import CREDENTIALS, PICK, TokenTable
from trunkline.rpc import ROUTER_NAME, Server
from trunkline.secret import Secret
from trunkline.service_settings import Tls
from trunkline.settings import Listen
from trunkline.v1 import router_pb2 as pb
from trunkline.v1 import router_pb2_grpc


@contextlib.asynccontextmanager
async def serving(router: Router, *, tls: Tls | None = None, scope: str = PICK, grace: float = 0) -> AsyncIterator[str]:
    """The router's double on the house's own server, where picks need a scope; its address."""
    server = Server(Listen("localhost", 0), TokenTable({TOKEN: frozenset({PICK})}), SCOPES | {PATH: scope}, tls=tls)
    router_pb2_grpc.add_RouterServiceServicer_to_server(router, server.grpc)
    await server.start()
    router.server = server.grpc
    try:
        yield server.address
    finally:
        await server.grpc.stop(grace)


def has(heard: list[bytes], count: int) -> bool:
    """Whether so many messages were heard."""
    return len(heard) == count


def picks(*models: str) -> bytes:
    """A message."""
    items = [
        pb.PickChannelsRequest.Item(id=number, pick=pb.Pick(model=model)) for number, model in enumerate(models, 1)
    ]
    return pb.PickChannelsRequest(items=items).SerializeToString()


async def test_a_router_answers_message_after_message() -> None:
    """Empty, small, and larger than every window, both ways."""
    router, heard = Router(), list[bytes]()
    many = [f"m{number}" * 300 for number in range(2500)]
    async with nothing_left(), serving(router) as address:
        call = await open_call(Peer(address, TOKEN), PATH, heard.append)
        for number, models in enumerate([[], ["m"], many, []], 1):
            call.write(picks(*models))
            await eventually_async(partial(has, heard, number))
            answer = pb.PickChannelsResponse.FromString(heard[-1])
            assert answer.answers_request
            assert [result.id for result in answer.results] == [*range(1, len(models) + 1)]
        assert [pick.model for pick in router.picks] == ["m", *many]
        call.cancel("the test is over")


async def test_a_router_that_stops_finishes_what_it_was_asked() -> None:
    """A deferred pick is answered after the router has begun to go away."""
    router, heard = Router(deferred={"m"}), list[pb.PickChannelsResponse]()
    async with nothing_left(), serving(router) as address:
        call = await open_call(
            Peer(address, TOKEN), PATH, lambda m: heard.append(pb.PickChannelsResponse.FromString(m))
        )
        call.write(picks("m"))
        await eventually_async(lambda: heard)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(router.server.stop(5))
            await eventually_async(lambda: _refuses(address))
            router.release.set()
            await eventually_async(lambda: len(heard) == 2)
            assert [result.id for result in heard[1].results] == [1]
            call.cancel("the test is over")


async def _refuses(address: str) -> bool:
    """Whether a server takes no more connections."""
    try:
        _, writer = await asyncio.open_connection(*address.split(":"))
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


@pytest.mark.parametrize(
    ("token", "scope", "said"),
    [("wrong", PICK, "UNAUTHENTICATED: "), (TOKEN.reveal(), CREDENTIALS, "PERMISSION_DENIED: ")],
)
async def test_a_router_that_refuses_says_why(token: str, scope: str, said: str) -> None:
    """Its code and its text, and not the token."""
    async with nothing_left(), serving(Router(), scope=scope) as address:
        call = await open_call(Peer(address, Secret(token)), PATH, lambda _: None)
        call.write(b"")
        with pytest.raises(CallEnded, match=said + r"\w") as ended:
            await call.ended
        assert token not in str(ended.value)


async def test_the_log_names_what_a_router_said_of_the_pick_stream(capfd: pytest.CaptureFixture[str]) -> None:
    """Once, however often it is tried."""
    async with serving(Router(), scope=CREDENTIALS) as address:
        client = RouterClient([address], LinkSettings(TOKEN, status_interval=0.1), max_waiting=10)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(client.run(lambda: None))
            (line,) = await lines_with(capfd, "router not reached")
            assert "PERMISSION_DENIED: " in line
            assert CREDENTIALS in line
            assert TOKEN.reveal() not in line
            running.cancel()


@pytest.mark.parametrize("both", [False, True])
async def test_a_router_with_tls_is_called(tmp_path: Path, both: bool) -> None:
    """By its certificate alone, or with one of the relay's own."""
    path, key = certificate(tmp_path)
    theirs = Tls(path, key, path if both else None, allow_plaintext=False)
    heard = list[bytes]()
    async with nothing_left(), serving(Router(), tls=theirs) as address:
        ours = tls_of(path, path, key) if both else tls_of(path)
        call = await open_call(Peer(address, TOKEN, ours), PATH, heard.append)
        call.write(picks(*("m" * 1000 for _ in range(200))))
        await eventually_async(lambda: heard)
        assert len(pb.PickChannelsResponse.FromString(heard[0]).results) == 200
        call.cancel("the test is over")


async def test_a_relay_without_a_certificate_is_not_let_in(tmp_path: Path) -> None:
    """Where the router wants one."""
    path, key = certificate(tmp_path)
    async with nothing_left(), serving(Router(), tls=tls_of(path, path, key)) as address:
        with pytest.raises(CallEnded):
            await (await open_call(Peer(address, TOKEN, tls_of(path)), PATH, lambda _: None)).ended


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("unknown", "self-signed certificate"),
        ("another name", "Hostname mismatch"),
        ("expired", "certificate has expired"),
        ("plaintext", "SSLError .*"),
        ("no HTTP/2", "the peer does not speak HTTP/2"),
        ("no file", "FileNotFoundError .*"),
    ],
)
@on_each_loop
async def test_a_peer_that_cannot_prove_itself_is_told_nothing(tmp_path: Path, fault: str, said: str) -> None:
    """And the fault is named."""
    theirs = identity(
        tmp_path, "relay.trunkline" if fault == "another name" else ROUTER_NAME, -1 if fault == "expired" else 1
    )
    trusted = {"unknown": certificate(tmp_path)[0], "no file": tmp_path / "none"}.get(fault, theirs.file)
    context: ssl.SSLContext | None = None if fault == "plaintext" else theirs.server()
    if context and fault == "no HTTP/2":
        context.set_alpn_protocols(["http/1.1"])
    told = b""

    async def manner(line: Line) -> None:
        nonlocal told
        if fault == "plaintext":
            await line.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with contextlib.suppress(OSError):
            told += await line.reader.read()

    async with nothing_left(), Far(manner).serving(context) as peer:
        address = "localhost:" + peer.url.split("/")[2].rpartition(":")[2]
        with pytest.raises(CallEnded, match=said) as ended:
            await (await open_call(whom(address, tls_of(trusted)), PATH, lambda _: None)).ended
        await eventually_async(lambda: not peer.open)
        assert TOKEN_TEXT.encode() not in told
        assert TOKEN_TEXT not in str(ended.value)


@on_each_loop
async def test_a_call_over_tls_is_closed_as_any_other(tmp_path: Path) -> None:
    """At once, though the peer does not read."""
    ours, over = identity(tmp_path, ROUTER_NAME), asyncio.Event()

    async def manner(line: Line) -> None:
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]  # TLS
        await over.wait()
        line.writer.transport.resume_reading()  # type: ignore[attr-defined]  # TLS
        await line.until_gone()

    async with nothing_left(), Far(manner).serving(ours.server()) as peer:
        address = "localhost:" + peer.url.split("/")[2].rpartition(":")[2]
        call = await open_call(whom(address, tls_of(ours.file)), PATH, lambda _: None)
        call.write(b"x" * (1 << 20))
        call.cancel("no longer wanted")
        with pytest.raises(CallEnded, match="no longer wanted"):
            await call.ended
        over.set()
        await eventually_async(lambda: not peer.open)


@pytest.mark.parametrize("cancelled", [True, False])
@on_each_loop
async def test_a_peer_that_leaves_tls_hanging_is_left(tmp_path: Path, cancelled: bool) -> None:
    """By whoever no longer wants it, and at the limit."""
    ours = identity(tmp_path)
    asked = asyncio.Event()

    async def manner(line: Line) -> None:
        assert await line.reader.read(1)
        asked.set()
        await line.until_gone()

    async with nothing_left(), Far(manner).serving() as peer:
        address = "localhost:" + peer.url.split("/")[2].rpartition(":")[2]
        loop = asyncio.get_running_loop()
        opening = loop.create_task(open_call(whom(address, tls_of(ours.file)), PATH, lambda _: None))
        await asked.wait()
        if cancelled:
            opening.cancel()
        await asyncio.wait({opening})
        if cancelled:
            assert opening.cancelled()
        else:
            with pytest.raises(CallEnded, match=r"^not connected: TimeoutError$"):
                opening.result()
        await eventually_async(lambda: not peer.open)
