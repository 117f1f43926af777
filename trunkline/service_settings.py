"""Settings that every service shares: logs, bearer tokens, TLS, and life under a supervisor.

A service's own settings class inherits the parts it needs. The law: plaintext is served off the loopback interface only
when asked for by name.
"""

from dataclasses import dataclass
from pathlib import Path

from trunkline.auth import TokenTable, parse_tokens
from trunkline.secret import Sealer, Secret
from trunkline.settings import Listen, Seconds, SettingFault, positive, readable, setting
from trunkline.telemetry import LogFormat, LogLevel


def _tokens(text: Secret) -> str | None:
    try:
        parse_tokens(text)
    except ValueError as fault:
        return str(fault)
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
class Tls:
    """Certificates of the gRPC side; with a CA both ends must show one."""

    tls_certificate: Path | None = setting("TRUNKLINE_TLS_CERT", None, "Certificate chain (PEM).", check=readable)
    tls_key: Path | None = setting("TRUNKLINE_TLS_KEY", None, "Private key (PEM) of the certificate.", check=readable)
    tls_ca: Path | None = setting("TRUNKLINE_TLS_CA", None, "CA (PEM) that peers must be signed by.", check=readable)
    allow_plaintext: bool = setting(
        "TRUNKLINE_ALLOW_PLAINTEXT", default=False, doc="Serves without TLS on addresses beyond the loopback interface."
    )

    def faults_of(self, listen: Listen, name: str) -> list[SettingFault]:
        """Find what is at fault between the TLS settings and an address."""
        faults = []
        if (self.tls_certificate is None) != (self.tls_key is None):
            faults.append(SettingFault("TRUNKLINE_TLS_CERT", "goes together with TRUNKLINE_TLS_KEY"))
        if self.tls_certificate is None and not self.allow_plaintext and not listen.loopback:
            faults.append(SettingFault(name, f"{listen} is not loopback: set TLS, or TRUNKLINE_ALLOW_PLAINTEXT=true"))
        return faults


@dataclass(frozen=True)
class Tokens:
    """Who may call."""

    admin_token: Secret = setting("TRUNKLINE_ADMIN_TOKEN", doc="Bearer token with every scope but `credentials`.")
    service_token: Secret = setting("TRUNKLINE_SERVICE_TOKEN", doc="Bearer token with scopes `pick` and `credentials`.")
    extra_tokens: Secret | None = setting(
        "TRUNKLINE_TOKENS", None, "More tokens, `scope+scope:token,…`.", check=_tokens
    )

    def table(self) -> TokenTable:
        """Build the token table."""
        return TokenTable.of(self.admin_token, self.service_token, self.extra_tokens)
