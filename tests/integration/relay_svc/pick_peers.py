"""The far end of a pick call: HTTP/2 as a router speaks it, with every fault that a test wants.

Law: a call and its peer end with the test; no fault is left that nobody was told, no task and no connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
import uvloop

from relay_svc.router_client.call import Call, Hear, open_call
from relay_svc.router_client.call import Peer as Called
from tests.harness.waiting import PATIENCE, eventually_async
from tests.integration.relay_svc.clients import Line, Manner, Peer
from trunkline.secret import Secret
from trunkline.service_settings import Tls

PATH: Final = "/trunkline.v1.RouterService/PickChannels"
HEAD: Final = [(":status", "200"), ("content-type", "application/grpc")]
TOKEN_TEXT: Final = "a-token-that-nobody-may-read"
E = TypeVar("E", bound=h2.events.Event)


def on_each_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on each event loop, uvloop's being the relay's."""

    @pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.SelectorEventLoop], ids=["uvloop", "asyncio"])
    @functools.wraps(test)
    def run(new_loop: Callable[[], asyncio.AbstractEventLoop], **arguments: Any) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(
                asyncio.wait_for(test(**arguments), PATIENCE)
            )  # no signal of a test's timeout reaches a still uvloop

    own = inspect.signature(test)
    loop = inspect.Parameter("new_loop", inspect.Parameter.KEYWORD_ONLY)
    cast("Any", run).__signature__ = own.replace(parameters=[*own.parameters.values(), loop], return_annotation=None)
    return cast("Callable[..., None]", run)


def framed(*messages: bytes) -> bytes:
    """Messages as gRPC writes them into a stream."""
    return b"".join(b"\0" + len(message).to_bytes(4, "big") + message for message in messages)


@dataclass
class Far:
    """A router's end of a connection with one call on it."""

    line: Line
    http: h2.connection.H2Connection = field(
        default_factory=lambda: h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    )
    asked: dict[str, str] = field(default_factory=dict)
    """The call's headers."""
    body: bytearray = field(default_factory=bytearray)
    """What the call wrote."""
    seen: list[h2.events.Event] = field(default_factory=list)

    async def begin(self, **settings: int) -> Far:
        """Say which settings, and read until the call has begun and knows them."""
        wanted = {h2.settings.SettingCodes[name]: value for name, value in settings.items()}
        self.http.local_settings = h2.settings.Settings(client=False, initial_values=wanted)
        self.http.initiate_connection()
        await self.send()
        request = await self.until(h2.events.RequestReceived)
        self.asked = {name.decode(): value.decode() for name, value in request.headers}
        await self.until(h2.events.SettingsAcknowledged)
        return self

    async def read(self) -> None:
        """Read once."""
        data = await self.line.reader.read(1 << 16)
        if not data:
            raise ConnectionResetError
        for event in self.http.receive_data(data):
            self.seen.append(event)
            if isinstance(event, h2.events.DataReceived):
                self.body += event.data
        await self.send()

    async def until(self, kind: type[E]) -> E:
        """Read until something happens; it is told once."""
        while True:
            for event in self.seen:
                if isinstance(event, kind):
                    self.seen.remove(event)
                    return event
            await self.read()

    async def send(self, more: bytes = b"") -> None:
        """Write what HTTP/2 has to say, and then bytes of the test's own."""
        self.line.writer.write(self.http.data_to_send() + more)
        await self.line.writer.drain()

    async def answer(self, *messages: bytes) -> None:
        """Begin the answer with these messages."""
        self.http.send_headers(1, HEAD)
        await self.pour(framed(*messages))

    async def pour(self, data: bytes) -> None:
        """Send bytes of the answer, as fast as the call takes them."""
        while data:
            room = min(self.http.local_flow_control_window(1), self.http.max_outbound_frame_size)
            if room:
                self.http.send_data(1, data[:room])
                data = data[room:]
                await self.send()
            else:
                await self.read()
        await self.send()

    async def until_gone(self) -> None:
        """Read until the call is gone."""
        await self.line.until_gone()


@contextlib.asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """What is inside leaves no task behind, and no fault that nobody was told."""
    loop = asyncio.get_running_loop()
    unheard: list[dict[str, Any]] = []
    before = asyncio.all_tasks()
    loop.set_exception_handler(lambda _, context: unheard.append(context))
    try:
        yield
        await eventually_async(lambda: asyncio.all_tasks() <= before | {cast("Any", asyncio.current_task())})
        gc.collect()
        await asyncio.sleep(0)
        assert not unheard
    finally:
        loop.set_exception_handler(None)


def tls_of(ca: Path, certificate: Path | None = None, key: Path | None = None) -> Tls:
    """TLS with this CA, and a certificate."""
    return Tls(certificate, key, ca, allow_plaintext=False)


def whom(address: str, tls: Tls | None = None) -> Called:
    """Whom to call."""
    return Called(address, Secret(TOKEN_TEXT), tls)


@contextlib.asynccontextmanager
async def calling(
    manner: Manner, hear: Hear = lambda _: None, *, theirs: ssl.SSLContext | None = None, tls: Tls | None = None
) -> AsyncIterator[Call]:
    """A call of a peer; in the end, it sees that the connection is gone."""
    async with nothing_left(), Peer(manner).serving(theirs) as peer:
        call = await open_call(whom(peer.url.split("/")[2], tls), PATH, hear)
        try:
            yield call
        finally:
            call.cancel("the test is over")
            await eventually_async(lambda: not peer.open)
