"""Settings that every service shares: logs, bearer tokens, TLS, and life under a supervisor.

A service's own settings class inherits the parts it needs. The law: plaintext is served off the loopback interface only
when asked for by name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trunkline.auth import TokenTable, parse_tokens
from trunkline.http_bounds import DEFAULTS, HttpBounds
from trunkline.plaintext import plaintext_fault
from trunkline.secret import Sealer, Secret
from trunkline.settings import Listen, Seconds, SettingFault, long_enough, positive, readable, setting
from trunkline.telemetry import LogFormat, LogLevel


def _tokens(text: Secret) -> str | None:
    try:
        entries = parse_tokens(text)
    except ValueError as fault:
        return str(fault)
    for number, (token, _) in enumerate(entries, 1):
        if wrong := long_enough(token):
            return f"the token of entry {number} {wrong}"
    if len({token for token, _ in entries}) < len(entries):
        return "holds one token twice: name all its scopes in one entry"
    return None


def sealing_keys(text: Secret) -> str | None:
    """Check that sealing keys can be read."""
    try:
        Sealer.parse(text)
    except ValueError as fault:
        return str(fault)
    return None


@dataclass(frozen=True)
class Process:
    """How the process logs, and how it lives and dies."""

    log_level: LogLevel = setting("TRUNKLINE_LOG_LEVEL", "info", "The least severe line logged.")
    log_format: LogFormat = setting("TRUNKLINE_LOG_FORMAT", "json", "`json`, or `text` for people.")
    debug: bool = setting("DEBUG", default=False, doc="Logs at `debug`, whatever the level says.")
    die_with_parent: bool = setting(
        "TRUNKLINE_DIE_WITH_PARENT", default=False, doc="Set by `trunkline up`: end when the supervisor does."
    )
    drain_timeout: Seconds = setting(
        "TRUNKLINE_DRAIN_TIMEOUT", Seconds(15.0), "How long open work may go on after SIGTERM.", check=positive
    )

    @property
    def level(self) -> LogLevel:
        """The level in force."""
        return "debug" if self.debug else self.log_level


@dataclass(frozen=True)
class Http:
    """The bounds of what clients of the HTTP side may send and hold."""

    max_head_bytes: int = setting(
        "TRUNKLINE_HTTP_MAX_HEAD_BYTES", DEFAULTS.max_head_bytes, "Largest head of a request.", check=positive
    )
    max_headers: int = setting(
        "TRUNKLINE_HTTP_MAX_HEADERS", DEFAULTS.max_headers, "Most headers of a request.", check=positive
    )
    max_target_bytes: int = setting(
        "TRUNKLINE_HTTP_MAX_TARGET_BYTES", DEFAULTS.max_target_bytes, "Longest path and query.", check=positive
    )
    head_timeout: Seconds = setting(
        "TRUNKLINE_HTTP_HEAD_TIMEOUT",
        Seconds(DEFAULTS.head_timeout),
        "From a head's first byte, or the connection, to its last.",
        check=positive,
    )
    http_body_timeout: Seconds = setting(
        "TRUNKLINE_HTTP_BODY_TIMEOUT",
        Seconds(DEFAULTS.body_timeout),
        "From a head to the end of its body. Bodies for the relay's endpoints have `TRUNKLINE_RELAY_CLIENT_TIMEOUT`.",
        check=positive,
    )
    http_idle_timeout: Seconds = setting(
        "TRUNKLINE_HTTP_IDLE_TIMEOUT",
        Seconds(DEFAULTS.idle_timeout),
        "Longest time between a response and the next request on a connection.",
        check=positive,
    )
    max_pipelined: int = setting(
        "TRUNKLINE_HTTP_MAX_PIPELINED",
        DEFAULTS.max_pipelined,
        "Most requests of a connection that wait behind the one being served; the connection ends with the last of them "
        "when a client sends more.",
        check=positive,
    )
    max_client_connections: int = setting(
        "TRUNKLINE_HTTP_MAX_CONNECTIONS",
        DEFAULTS.max_connections,
        "Most connections of clients, and never more than three quarters of the file descriptors; more get 503.",
        check=positive,
    )

    @property
    def http_bounds(self) -> HttpBounds:
        """The bounds together."""
        return HttpBounds(
            max_head_bytes=self.max_head_bytes,
            max_headers=self.max_headers,
            max_target_bytes=self.max_target_bytes,
            head_timeout=self.head_timeout,
            body_timeout=self.http_body_timeout,
            idle_timeout=self.http_idle_timeout,
            max_pipelined=self.max_pipelined,
            max_connections=self.max_client_connections,
        )


@dataclass(frozen=True)
class Tls:
    """Certificates between services; with a CA both ends of gRPC must show one."""

    tls_certificate: Path | None = setting("TRUNKLINE_TLS_CERT", None, "Certificate chain (PEM).", check=readable)
    tls_key: Path | None = setting("TRUNKLINE_TLS_KEY", None, "Private key (PEM) of the certificate.", check=readable)
    tls_ca: Path | None = setting("TRUNKLINE_TLS_CA", None, "CA (PEM) that peers must be signed by.", check=readable)
    allow_plaintext: bool = setting(
        "TRUNKLINE_ALLOW_PLAINTEXT",
        default=False,
        doc="Listens at, and dials, addresses beyond the loopback interface without TLS.",
    )

    @property
    def serves_tls(self) -> bool:
        """Whether what is served is encrypted."""
        return self.tls_certificate is not None and self.tls_key is not None

    @property
    def dials_tls(self) -> bool:
        """Whether what is dialled is encrypted."""
        return self.tls_ca is not None or self.tls_certificate is not None

    def faults_of(self, listen: Listen | None, name: str) -> list[SettingFault]:
        """Find what is at fault between the TLS settings and an address that is listened at."""
        faults = []
        if (self.tls_certificate is None) != (self.tls_key is None):
            faults.append(SettingFault("TRUNKLINE_TLS_CERT", "goes together with TRUNKLINE_TLS_KEY"))
        if listen is not None and (wrong := self.listening_fault(listen)):
            faults.append(SettingFault(name, wrong))
        return faults

    def listening_fault(self, listen: Listen) -> str | None:
        """What is wrong with serving at an address."""
        return plaintext_fault(listen, loopback=listen.loopback, secured=self.serves_tls, allowed=self.allow_plaintext)

    def dialling_fault(self, address: str) -> str | None:
        """What is wrong with dialling `host:port`."""
        try:
            target = Listen.parse(address)
        except ValueError as fault:
            return f"{address[:128]!r} is {fault}"
        if target.fd is not None or target.port == 0:
            return f"{address!r} names nothing to dial: give host:port"
        return plaintext_fault(target, loopback=target.loopback, secured=self.dials_tls, allowed=self.allow_plaintext)

    def https(self) -> dict[str, str]:
        """What makes an HTTP side speak TLS, if it is to.

        Clients are asked for no certificate there: their bearer token tells, and health checks and scrapers have none.
        """
        if self.tls_certificate is None or self.tls_key is None:
            return {}
        return {"ssl_certfile": str(self.tls_certificate), "ssl_keyfile": str(self.tls_key)}


@dataclass(frozen=True)
class Tokens:
    """Who may call. Invariant: no two tokens are alike, or the scopes of one would be the other's as well."""

    admin_token: Secret = setting(
        "TRUNKLINE_ADMIN_TOKEN", doc="Bearer token with every scope but `credentials`.", check=long_enough
    )
    service_token: Secret = setting(
        "TRUNKLINE_SERVICE_TOKEN", doc="Bearer token with scopes `pick` and `credentials`.", check=long_enough
    )
    extra_tokens: Secret | None = setting(
        "TRUNKLINE_TOKENS", None, "More tokens, `scope+scope:token,…`.", check=_tokens
    )

    def token_faults(self) -> Iterator[SettingFault]:
        """Find tokens that are the same."""
        if self.admin_token == self.service_token:
            yield SettingFault("TRUNKLINE_SERVICE_TOKEN", "is the admin token too: each must be a secret of its own")
        for number, (token, _) in enumerate(parse_tokens(self.extra_tokens), 1):
            if token in (self.admin_token, self.service_token):
                yield SettingFault("TRUNKLINE_TOKENS", f"entry {number} is the admin's or the service token too")

    def table(self) -> TokenTable:
        """Build the token table."""
        return TokenTable.of(self.admin_token, self.service_token, self.extra_tokens)
