"""Channels to peers. The law: a channel keeps itself alive, reconnects within a second, and carries its bearer token.

Under TLS a router is known by the name in its certificate, whatever address it was dialled at: a certificate of the same CA
for another kind of service, or for a host, does not serve as one.
"""

from dataclasses import dataclass
from typing import Final

import grpc

from trunkline.secret import Secret
from trunkline.service_settings import Tls

_CLIENT_OPTIONS: Final = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),  # in truth how long a connection may take to be made
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", 8 << 20),
    ("grpc.use_local_subchannel_pool", 1),
)


_NO_TLS: Final = Tls(None, None, None, allow_plaintext=False)


@dataclass(frozen=True, slots=True)
class Dialled:
    """A channel to a peer, and the metadata that every call on it carries."""

    channel: grpc.aio.Channel
    metadata: tuple[tuple[str, str], ...]


ROUTER_NAME: Final = "router.trunkline"
"""The DNS name that a router's certificate holds."""


class PlaintextDialError(Exception):
    """An address beyond loopback that would be dialled without TLS; its text says what to set."""


def check_dial(address: str, tls: Tls | None) -> None:
    """Make sure that an address, which may come from a row anybody wrote, may be dialled. Raises PlaintextDialError."""
    if wrong := (tls or _NO_TLS).dialling_fault(address):
        raise PlaintextDialError(wrong)


def dial(address: str, token: Secret, tls: Tls | None = None) -> Dialled:
    """Open a channel to a router at `host:port`; connecting happens at the first call. Close it with `channel.close()`.

    Raises PlaintextDialError.
    """
    check_dial(address, tls)
    metadata = (("authorization", f"Bearer {token.reveal()}"),)
    if tls is None or not tls.dials_tls:
        return Dialled(grpc.aio.insecure_channel(address, options=_CLIENT_OPTIONS), metadata)
    credentials = grpc.ssl_channel_credentials(
        tls.tls_ca.read_bytes() if tls.tls_ca else None,
        tls.tls_key.read_bytes() if tls.tls_key else None,
        tls.tls_certificate.read_bytes() if tls.tls_certificate else None,
    )
    options = (*_CLIENT_OPTIONS, ("grpc.ssl_target_name_override", ROUTER_NAME))
    return Dialled(grpc.aio.secure_channel(address, credentials, options=options), metadata)
