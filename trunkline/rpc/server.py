"""A gRPC server as every service here runs it: health, reflection, channelz, TLS, and the gate before every call."""

from collections.abc import Mapping, Sequence
from typing import Final

import grpc
from grpc_channelz.v1 import channelz
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from trunkline import auth
from trunkline.rpc.gate import Gate
from trunkline.rpc.standard import Health, serve_reflection
from trunkline.service_settings import Tls
from trunkline.settings import Listen

_SERVER_OPTIONS: Final = (
    # Idle callers ping to keep their connection; without this their pings earn a GOAWAY.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Before a caller is known, this much is held for it: an admin's largest request, or 1,024 picks of 4 KB.
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.max_metadata_size", 16 << 10),
    # Calls of one connection at once, those that it has reset and that are not yet gone included: without this bound rapid
    # resets (CVE-2023-44487) fill the event loop, and calls of others end as cancelled (bench/resets.py). RFC 9113 advises
    # no fewer than 100; a caller's further calls wait at its end.
    ("grpc.max_concurrent_streams", 100),
)


class Server:
    """A gRPC server with health, reflection and channelz; add servicers to `grpc` before `start`."""

    def __init__(
        self,
        listen: Listen,
        tokens: auth.TokenTable,
        scopes: Mapping[str, str],
        *,
        tls: Tls | None = None,
        reserved: bool = False,
        options: Sequence[tuple[str, int | str]] = (),
    ) -> None:
        """Prepare to serve on an address; `reserved` joins a supervisor's reservation of the port."""
        self._listen, self._tls = listen, tls
        every = (*_SERVER_OPTIONS, ("grpc.so_reuseport", int(reserved)), *options)
        self.grpc = grpc.aio.server(interceptors=[Gate(tokens, scopes)], options=every)
        self._health = Health()
        self._services = sorted({method.split("/")[1] for method in scopes})
        self.address = ""

    async def start(self) -> None:
        """Listen and serve. Raises OSError when the address cannot be had, or not without TLS."""
        if self._tls is not None and (wrong := self._tls.listening_fault(self._listen)):
            raise OSError(wrong)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        channelz.add_channelz_servicer(self.grpc)
        names = [health.SERVICE_NAME, "grpc.channelz.v1.Channelz", reflection.SERVICE_NAME, *self._services]
        serve_reflection(self.grpc, names)
        try:
            port = self._bind()
        except RuntimeError as error:
            message = f"cannot listen on {self._listen}: {error}"
            raise OSError(message) from None
        self.address = str(Listen(self._listen.host, port))
        await self.grpc.start()

    async def set_serving(self, *, serving: bool) -> None:
        """Say in the health service whether this server should be sent work."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *self._services):
            await self._health.set(name, status)

    async def stop(self, grace: float) -> None:
        """Refuse new calls, give open ones `grace` seconds, then end them."""
        await self._health.enter_graceful_shutdown()
        await self.grpc.stop(grace)

    def _bind(self) -> int:
        address = str(self._listen)
        if self._tls is None or self._tls.tls_certificate is None or self._tls.tls_key is None:
            return self.grpc.add_insecure_port(address)
        ca = self._tls.tls_ca.read_bytes() if self._tls.tls_ca else None
        pair = (self._tls.tls_key.read_bytes(), self._tls.tls_certificate.read_bytes())
        credentials = grpc.ssl_server_credentials([pair], ca, require_client_auth=ca is not None)
        return self.grpc.add_secure_port(address, credentials)
