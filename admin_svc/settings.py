"""The admin service's settings. The law: every limit has a default that is safe to run with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trunkline.failpoints import at_fault
from trunkline.secret import Secret
from trunkline.service_settings import Http, Process, Tls, Tokens, sealing_keys
from trunkline.settings import Listen, Seconds, SettingFault, long_enough, positive, setting

LEAST_HISTORY: Final = 3_600.0
"""Seconds that history is kept at least, which is how often it is pruned. It is far above the seconds that a router follows
behind and the minutes that a restart takes it, or that a client repeats a request for whose outcome it does not know."""


def _long_enough(span: float) -> str | None:
    return None if span >= LEAST_HISTORY else f"{span:g}s is below {LEAST_HISTORY:g}s: routers and clients lean on it"


@dataclass(frozen=True)
class Settings(Process, Http, Tls, Tokens):
    """What the admin service is told by its environment."""

    dsn: Secret = setting("TRUNKLINE_DSN", doc="The catalog's database, as a libpq connection string.")
    pepper: Secret = setting(
        "TRUNKLINE_PEPPER", doc="Keys the hashes of API keys; the same in every service.", check=long_enough
    )
    old_pepper: Secret | None = setting(
        "TRUNKLINE_OLD_PEPPER",
        None,
        "The pepper before, while it is rotated: API keys hashed with it go on being known.",
        check=long_enough,
    )
    encryption_keys: Secret = setting(
        "TRUNKLINE_ENCRYPTION_KEYS",
        doc="Keys that seal channel keys, `id:base64 of 32 bytes,…`: the first seals, all unseal.",
        check=sealing_keys,
    )
    listen: Listen = setting(
        "TRUNKLINE_ADMIN_LISTEN", Listen("127.0.0.1", 50061), "Where AdminService is served (gRPC)."
    )
    http_listen: Listen = setting(
        "TRUNKLINE_ADMIN_HTTP_LISTEN",
        Listen("127.0.0.1", 3001),
        "Where `/api`, `/metrics`, `/health` and `/readyz` are served (HTTP).",
    )
    pool_size: int = setting("TRUNKLINE_ADMIN_POOL_SIZE", 8, "Most connections to the database.", check=positive)
    start_timeout: Seconds = setting(
        "TRUNKLINE_ADMIN_START_TIMEOUT",
        Seconds(60.0),
        "How long to wait at start for the database to be reached and migrated.",
        check=positive,
    )
    history_kept: Seconds = setting(
        "TRUNKLINE_ADMIN_HISTORY_KEPT",
        Seconds(7 * 86_400.0),
        "How long revisions (the audit log, and the memory of request ids) are kept, an hour or longer: a router that was "
        "away for longer reads the whole catalog, and a request repeated after it is made again.",
        check=_long_enough,
    )
    failpoints: str = setting(
        "TRUNKLINE_FAILPOINTS",
        "",
        "For tests of crashes only: where to die, `name=kill` or `name=kill@5` (at the fifth passage), comma-separated.",
        check=at_fault,
    )

    def faults(self) -> list[SettingFault]:
        """Find what is at fault between settings."""
        found = self.faults_of(self.listen, "TRUNKLINE_ADMIN_LISTEN")
        found += [
            fault for fault in self.faults_of(self.http_listen, "TRUNKLINE_ADMIN_HTTP_LISTEN") if fault not in found
        ]
        if self.listen.fd is not None:
            found.append(SettingFault("TRUNKLINE_ADMIN_LISTEN", "gRPC cannot take over a descriptor: give host:port"))
        if self.old_pepper == self.pepper:
            found.append(SettingFault("TRUNKLINE_OLD_PEPPER", "is TRUNKLINE_PEPPER too: it is the one before"))
        return [*found, *self.token_faults()]
