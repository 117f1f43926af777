"""A gRPC call of two streams on a connection of its own, for messages too frequent for a gRPC channel.

The law: gRPC's wire protocol over HTTP/2 ("gRPC over HTTP2", PROTOCOL-HTTP2.md of grpc/grpc), which `h2` speaks; here is only
what messages are cut from. One connection carries one call: whatever ends either ends both, once, and is told as `CallEnded`.
No message is compressed, since none is asked for so. What is received is bounded; who writes waits for answers, and so bounds
what is not sent yet.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import grpc
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from trunkline.rpc import ROUTER_NAME, PlaintextDialError, check_dial
from trunkline.secret import Secret
from trunkline.service_settings import Tls
from trunkline.settings import Listen

Hear = Callable[[bytes], None]
"""Takes a message, from within the event loop's callback; what it raises ends the call."""

CONNECT_LIMIT: Final = 1.0
"""Seconds that a connection may take to be made, TLS included."""
MOST_BYTES: Final = 8 << 20
"""Most bytes of a message, as everywhere here."""
_WINDOW: Final = 1 << 20
"""Bytes that the other end may send before it hears that they were read."""
_PREFIX: Final = 5
"""Bytes before each message: whether it is compressed, and its length."""
_STREAM: Final = 1
_MOST_TEXT: Final = 300
"""Characters quoted of what a peer says."""
_IDLE: Final = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 3), (socket.TCP_KEEPCNT, 1))
"""Seconds after which a silent peer is asked for a sign of life, and given up."""
_UNACKNOWLEDGED: Final = 3_000
"""Milliseconds after which a peer that acknowledges nothing is given up."""


class CallEnded(Exception):  # noqa: N818 - a state: every call of this kind ends so
    """How a call ended; the text quotes no metadata."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom to call: `host:port`, the token it wants, and how the connection is secured."""

    address: str
    token: Secret
    tls: Tls | None = None


async def open_call(peer: Peer, path: str, hear: Hear) -> "Call":
    """Connect and begin the call of a method (`/package.Service/Method`). Raises CallEnded."""
    loop = asyncio.get_running_loop()
    try:
        check_dial(peer.address, peer.tls)
        target = Listen.parse(peer.address)
        context = _tls_context(peer.tls)
        call = Call(peer, path, hear, secure=context is not None)
        async with asyncio.timeout(CONNECT_LIMIT):
            name = ROUTER_NAME if context is not None else None
            await loop.create_connection(lambda: call, target.host, target.port, ssl=context, server_hostname=name)
    except PlaintextDialError as fault:
        raise CallEnded(f"not connected: {fault}") from None
    except (OSError, ValueError, h2.exceptions.H2Error) as fault:
        # Only the system's own words are quoted: the others may hold what could not be written, the token.
        said = str(fault) if isinstance(fault, OSError) else ""
        raise CallEnded(f"not connected: {type(fault).__name__} {said}".rstrip()) from None
    return call


class Call(asyncio.Protocol):
    """One call."""

    def __init__(self, peer: Peer, path: str, hear: Hear, *, secure: bool) -> None:
        """Take whom to call, the method, and who hears messages."""
        self._hear = hear
        self._http = _begun(peer, path, secure=secure)
        self._transport: asyncio.Transport | None = None
        self._unsent = bytearray()
        self._unread = bytearray()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Fails with CallEnded when the call is over."""

    def write(self, message: bytes) -> None:
        """Send a message."""
        self._unsent += b"\0%b%b" % (len(message).to_bytes(4, "big"), message)
        self._send()

    def cancel(self, why: str) -> None:
        """End the call and its connection."""
        self._end(CallEnded(why))

    # ------------------------------------------------------------ called by the event loop

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP or TLS, always
        """Begin the call."""
        self._transport = transport
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            self._end(CallEnded("the peer does not speak HTTP/2"))
            return
        _watch_over(transport.get_extra_info("socket"))
        self._send()

    def pause_writing(self) -> None:
        """Read no more until what was written is read: pings and settings want answers."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        if self._transport is not None:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if self.ended.done():
            return
        try:
            for event in self._http.receive_data(data):
                self._take(event)
            self._send()
        except CallEnded as ending:
            self._end(ending)
        except h2.exceptions.ProtocolError as fault:
            self._end(CallEnded(f"this is not HTTP/2: {type(fault).__name__}"))
        except Exception as fault:  # noqa: BLE001 - what a message means is its hearer's business: the call ends, no more
            self._end(CallEnded(f"a message could not be read: {type(fault).__name__}"))

    def connection_lost(self, _exc: Exception | None) -> None:
        """Note the end."""
        self._end(CallEnded("the connection was lost"))

    # ------------------------------------------------------------ inside

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.DataReceived():
                self._http.acknowledge_received_data(event.flow_controlled_length, _STREAM)
                self._unread += event.data
                self._cut()
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                self._judge({bytes(name): bytes(value) for name, value in event.headers})
            case h2.events.StreamEnded():
                raise CallEnded("ended without a status")
            case h2.events.ConnectionTerminated(error_code=h2.errors.ErrorCodes.NO_ERROR, last_stream_id=last) if last:
                pass  # of new calls: this one goes on until the peer ends it
            case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                raise CallEnded(f"{type(event).__name__}: {_code(event.error_code)}")

    def _judge(self, headers: dict[bytes, bytes]) -> None:
        status, said = headers.get(b":status", b"200"), headers.get(b"grpc-status")
        if status != b"200":
            raise CallEnded(f"HTTP status {status.decode('latin-1')[:3]}")
        if said is not None:
            details = unquote(headers.get(b"grpc-message", b"").decode("latin-1"))
            raise CallEnded(f"{_name(said)}: {details[:_MOST_TEXT]}")

    def _cut(self) -> None:
        """Give the messages that are here."""
        unread = self._unread
        while len(unread) >= _PREFIX:
            end = _PREFIX + int.from_bytes(unread[1:_PREFIX], "big")
            if unread[0] or end > _PREFIX + MOST_BYTES:
                raise CallEnded("a message is compressed, or too large")
            if len(unread) < end:
                break
            message = bytes(unread[_PREFIX:end])
            del unread[:end]
            self._hear(message)

    def _send(self) -> None:
        """Send what may be sent now; more goes when the peer says that it has read."""
        http, transport = self._http, self._transport
        if transport is None or self.ended.done():
            return
        while self._unsent:
            room = min(http.local_flow_control_window(_STREAM), http.max_outbound_frame_size)
            if room <= 0:
                break
            http.send_data(_STREAM, bytes(self._unsent[:room]))
            del self._unsent[:room]
        if data := http.data_to_send():
            transport.write(data)

    def _end(self, fault: CallEnded) -> None:
        if not self.ended.done():
            self.ended.set_exception(fault)
            self.ended.exception()  # whoever still waits hears of it; nobody has to
        if self._transport is not None:
            self._transport.abort()


class _Lasting(h2.connection.H2ConnectionStateMachine):
    """A connection that outlives a GOAWAY, as streams do that it leaves alone (RFC 9113, 6.8); those of h2 end with it."""

    def process_input(self, input_: h2.connection.ConnectionInputs) -> list[h2.events.Event]:
        """Take what happens."""
        return [] if input_ is h2.connection.ConnectionInputs.RECV_GOAWAY else super().process_input(input_)


def _begun(peer: Peer, path: str, *, secure: bool) -> h2.connection.H2Connection:
    """Write the beginning of a connection and of the one call on it. Raises ValueError."""
    http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    http.state_machine = _Lasting()
    codes = h2.settings.SettingCodes
    wanted = {codes.ENABLE_PUSH: 0, codes.MAX_CONCURRENT_STREAMS: 0, codes.INITIAL_WINDOW_SIZE: _WINDOW}
    http.local_settings = h2.settings.Settings(client=True, initial_values=wanted)
    http.initiate_connection()
    http.increment_flow_control_window(_WINDOW)
    http.send_headers(
        _STREAM,
        [
            (":method", "POST"),
            (":scheme", "https" if secure else "http"),
            (":authority", peer.address),
            (":path", path),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "trunkline-relay"),
            ("authorization", f"Bearer {peer.token.reveal()}"),
        ],
    )
    return http


def _tls_context(tls: Tls | None) -> ssl.SSLContext | None:
    if tls is None or (tls.tls_ca is None and tls.tls_certificate is None):
        return None
    context = ssl.create_default_context(cafile=tls.tls_ca)
    if tls.tls_certificate is not None:
        context.load_cert_chain(tls.tls_certificate, tls.tls_key)
    context.set_alpn_protocols(["h2"])
    return context


def _watch_over(connected: Any) -> None:
    """Have the kernel notice a peer that is gone without a word."""
    with contextlib.suppress(OSError):  # not all systems know all of these
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _IDLE:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED)


def _code(code: Any) -> str:
    return code.name if isinstance(code, h2.errors.ErrorCodes) else str(code)


_CODES: Final = {str(code.value[0]).encode(): code.name for code in grpc.StatusCode}


def _name(status: bytes) -> str:
    return _CODES.get(status, "UNKNOWN")
