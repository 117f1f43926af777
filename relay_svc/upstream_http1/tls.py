"""TLS towards upstreams: verified against the system's authorities, and resumed.

The law: one context for all connections, from which no certificate and no name goes unchecked. A session is resumed only
towards the host name that it was verified for. The event loops make their TLS objects through `wrap_bio` and know nothing of
sessions, so that is where one is put in.
"""

import ssl
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final, Self

_MOST_SESSIONS: Final = 1024
_BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where distributions keep the authorities, for a Python whose own OpenSSL looks elsewhere."""


class ResumingContext(ssl.SSLContext):
    """A client's context that remembers the last session of each host."""

    _sessions: OrderedDict[str, ssl.SSLSession]

    def __new__(cls) -> Self:
        """Trust nobody yet."""
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        context._sessions = OrderedDict()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        return context

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - the standard library's
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Make a TLS object, with the host's last session if there is one."""
        if session is None and isinstance(server_hostname, str):
            session = self._sessions.get(server_hostname)
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def remember(self, tls: Any) -> None:
        """Keep the session of a connection that has been read from: in TLS 1.3 it comes after the handshake."""
        if not isinstance(tls, ssl.SSLObject) or tls.session is None or not tls.server_hostname:
            return
        self._sessions[tls.server_hostname] = tls.session
        self._sessions.move_to_end(tls.server_hostname)
        if len(self._sessions) > _MOST_SESSIONS:
            self._sessions.popitem(last=False)


def system_context() -> ResumingContext:
    """Make the context that trusts this system's authorities, wherever the environment points."""
    context = ResumingContext()
    paths = ssl.get_default_verify_paths()
    file = next((name for name in (paths.openssl_cafile, *_BUNDLES) if Path(name).is_file()), None)
    folder = paths.openssl_capath if Path(paths.openssl_capath).is_dir() else None
    if file or folder:
        context.load_verify_locations(file, folder)
    return context
