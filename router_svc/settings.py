"""The router's settings."""

from dataclasses import dataclass
from pathlib import Path

from router_svc.follower import POLL
from trunkline.secret import Secret
from trunkline.service_settings import Http, Process, Tls, Tokens, sealing_keys
from trunkline.settings import Listen, Seconds, SettingFault, long_enough, positive, setting

STATEMENT_TIMEOUT = 10.0
"""Seconds that the database may take for one statement of a router."""


@dataclass(frozen=True)
class Settings(Process, Http, Tls, Tokens):
    """What a router is told by its environment."""

    dsn: Secret = setting("TRUNKLINE_DSN", doc="The catalog's Postgres, as a libpq connection string.")
    pepper: Secret = setting(
        "TRUNKLINE_PEPPER", doc="Keys the hash of API keys; the same in every service.", check=long_enough
    )
    old_pepper: Secret | None = setting(
        "TRUNKLINE_OLD_PEPPER",
        None,
        "The pepper before, while it is rotated: API keys hashed with it go on being known.",
        check=long_enough,
    )
    encryption_keys: Secret = setting(
        "TRUNKLINE_ENCRYPTION_KEYS",
        doc="Keys that unseal channel keys, `id:base64,…` (32 bytes each).",
        check=sealing_keys,
    )
    listen: Listen = setting("TRUNKLINE_ROUTER_LISTEN", Listen("127.0.0.1", 50051), "Where gRPC is served.")
    http_listen: Listen = setting(
        "TRUNKLINE_ROUTER_HTTP_LISTEN", Listen("127.0.0.1", 9151), "Where /metrics, /health and /readyz are served."
    )
    router_id: str | None = setting(
        "TRUNKLINE_ROUTER_ID",
        None,
        "This router's name among the others, of which no other may live; made of host, port and chance when not set.",
    )
    advertise: str | None = setting(
        "TRUNKLINE_ROUTER_ADVERTISE",
        None,
        "The `host:port` under which admins and relays reach it; the listen address.",
    )
    sync_frequency: Seconds = setting(
        "SYNC_FREQUENCY",
        Seconds(POLL),
        "Time between two polls of the catalog's head; can only shorten the default.",
        check=positive,
    )
    cache_enabled: bool = setting(
        "TRUNKLINE_ROUTER_CACHE",
        default=True,
        doc="Answers picks from memory; when off, each reads the database, and following goes on. "
        "`MEMORY_CACHE_ENABLED` is read where this is not set.",
        aliases=("MEMORY_CACHE_ENABLED",),
    )
    snapshot_directory: Path | None = setting(
        "TRUNKLINE_ROUTER_SNAPSHOT_DIR",
        None,
        "A directory of this router's own, where it keeps two copies of the catalog to start from without a database; "
        "none are kept when not set.",
    )
    snapshot_wait: Seconds = setting(
        "TRUNKLINE_ROUTER_SNAPSHOT_WAIT",
        Seconds(5.0),
        "How long a router that starts waits for its database before it serves, degraded, from its copy.",
    )
    node_type: str = setting("NODE_TYPE", "", "Accepted for deployments that set it; changes nothing.")

    def faults(self) -> list[SettingFault]:
        """Find what is at fault between settings."""
        faults = self.faults_of(self.listen, "TRUNKLINE_ROUTER_LISTEN")
        faults += [
            fault for fault in self.faults_of(self.http_listen, "TRUNKLINE_ROUTER_HTTP_LISTEN") if fault not in faults
        ]
        if self.serves_tls and self.tls_ca is None and not self.listen.loopback and not self.allow_plaintext:
            faults.append(
                SettingFault("TRUNKLINE_TLS_CA", "must be set beyond loopback: callers prove themselves by it, too")
            )
        if self.listen.fd is not None:
            faults.append(SettingFault("TRUNKLINE_ROUTER_LISTEN", "gRPC cannot take over a descriptor: give host:port"))
        if self.old_pepper == self.pepper:
            faults.append(SettingFault("TRUNKLINE_OLD_PEPPER", "is TRUNKLINE_PEPPER too: it is the one before"))
        return [*faults, *self.token_faults()]
