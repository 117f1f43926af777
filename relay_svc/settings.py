"""The relay's settings. The law: every limit has a default that is safe to run with."""

from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from relay_svc.address import Network
from relay_svc.cors import origin_fault
from relay_svc.plan import TimeLimits
from trunkline.http_bounds import DEFAULTS, HttpBounds
from trunkline.plaintext import plaintext_fault
from trunkline.secret import Secret
from trunkline.service_settings import Http, Process, Tls
from trunkline.serving import LIVENESS, OPERATIONS
from trunkline.settings import Listen, Seconds, SettingFault, long_enough, positive, readable, setting


def _networks(texts: tuple[str, ...]) -> str | None:
    for text in texts:
        try:
            ip_network(text, strict=False)
        except ValueError:
            return f"{text!r} is neither an address nor a network such as 10.0.0.0/8"
    return None


def _addresses(texts: tuple[str, ...]) -> str | None:
    for text in texts:
        try:
            if Listen.parse(text).port == 0:
                return f"{text!r} names no port"
        except ValueError as fault:
            return f"{text!r} is {fault}"
    return None if texts else "names no router"


_MOST_CANDIDATES = 16  # of a plan: the protocol's bound


def _at_most_16(count: int) -> str | None:
    return None if 1 <= count <= _MOST_CANDIDATES else f"{count} is not between 1 and {_MOST_CANDIDATES}"


@dataclass(frozen=True)
class Settings(Process, Http, Tls):
    """What the relay is told by its environment."""

    service_token: Secret = setting(
        "TRUNKLINE_SERVICE_TOKEN", doc="Bearer token for the routers: `pick`, `credentials`.", check=long_enough
    )
    run_secret: Secret | None = setting(
        "TRUNKLINE_RELAY_RUN_SECRET",
        None,
        "Signs the ids of workflow runs that go on after their answer; the same for all relays. Without it none is started.",
        check=long_enough,
    )
    old_run_secret: Secret | None = setting(
        "TRUNKLINE_RELAY_OLD_RUN_SECRET",
        None,
        "The secret before that one: ids that it signed are still believed, so that it can be replaced while runs go on.",
        check=long_enough,
    )
    listen: Listen = setting("TRUNKLINE_RELAY_LISTEN", Listen("127.0.0.1", 3000), "Where clients connect (HTTP).")
    https_certificate: Path | None = setting(
        "TRUNKLINE_RELAY_HTTPS_CERT",
        None,
        "Certificate chain (PEM) that clients are shown, when no front speaks TLS for the relay; `TRUNKLINE_TLS_CERT` is for "
        "services alone.",
        check=readable,
    )
    https_key: Path | None = setting(
        "TRUNKLINE_RELAY_HTTPS_KEY", None, "Private key (PEM) of that certificate.", check=readable
    )
    operations_listen: Listen | None = setting(
        "TRUNKLINE_RELAY_OPERATIONS_LISTEN",
        None,
        "Where this process alone answers `/health`, `/readyz` and `/metrics`.",
    )
    operations_for_clients: bool = setting(
        "TRUNKLINE_RELAY_OPERATIONS_FOR_CLIENTS",
        default=False,
        doc="Answers `/readyz` and `/metrics` on the clients' address too, to whoever asks; `/health` is always there.",
    )
    shared_metrics: Path | None = setting(
        "PROMETHEUS_MULTIPROC_DIR",
        None,
        "Folder of this host in which several relays keep their metrics, so that each shows the sum of all.",
    )
    routers: tuple[str, ...] = setting(
        "TRUNKLINE_RELAY_ROUTERS",
        ("127.0.0.1:50051",),
        "Routers to begin with; they name their peers.",
        check=_addresses,
    )
    trusted_proxies: tuple[str, ...] = setting(
        "TRUNKLINE_RELAY_TRUSTED_PROXIES", (), "Networks whose `X-Forwarded-For` is believed.", check=_networks
    )
    cors_origins: tuple[str, ...] = setting(
        "TRUNKLINE_RELAY_CORS_ORIGINS",
        (),
        "Origins whose web pages may ask the relay, such as `https://app.example.com`, or `*`. None: no page may.",
        check=origin_fault,
    )
    max_body_bytes: int = setting(
        "TRUNKLINE_RELAY_MAX_BODY_BYTES", 64 << 20, "Largest request body; a path may take less.", check=positive
    )
    max_unknown_body_bytes: int = setting(
        "TRUNKLINE_RELAY_MAX_UNKNOWN_BODY_BYTES",
        64 << 10,
        "Bytes of a body that are read before a router has confirmed its API key, which holds for five minutes.",
        check=positive,
    )
    max_body_bytes_in_flight: int = setting(
        "TRUNKLINE_RELAY_MAX_BODY_BYTES_IN_FLIGHT",
        512 << 20,
        "Bytes of larger bodies held at a time, over all requests; more wait, and get 503 when there is no room for long. "
        "The process needs up to three times as much.",
        check=positive,
    )
    body_room_timeout: Seconds = setting(
        "TRUNKLINE_RELAY_BODY_ROOM_TIMEOUT", Seconds(10.0), "Longest wait of a body for that room.", check=positive
    )
    max_held_bytes: int = setting(
        "TRUNKLINE_RELAY_MAX_HELD_BYTES",
        1 << 20,
        "Of a form (`/v1/audio/…`), which goes up while it comes in: bytes held in memory before its model is known (more go "
        "to a file), and bytes kept for another attempt.",
        check=positive,
    )
    max_head_bytes: int = setting(
        "TRUNKLINE_RELAY_MAX_HEADER_BYTES",
        DEFAULTS.max_head_bytes,
        "Largest head of a request. `TRUNKLINE_HTTP_MAX_HEAD_BYTES` is read where this is not set.",
        check=positive,
        aliases=("TRUNKLINE_HTTP_MAX_HEAD_BYTES",),
    )
    max_headers: int = setting(
        "TRUNKLINE_RELAY_MAX_HEADERS",
        DEFAULTS.max_headers,
        "Most headers of a request. `TRUNKLINE_HTTP_MAX_HEADERS` is read where this is not set.",
        check=positive,
        aliases=("TRUNKLINE_HTTP_MAX_HEADERS",),
    )
    max_in_flight: int = setting(
        "TRUNKLINE_RELAY_MAX_IN_FLIGHT", 10_000, "Most requests served at once; more get 503.", check=positive
    )
    max_waiting_picks: int = setting(
        "TRUNKLINE_RELAY_MAX_WAITING_PICKS", 4096, "Most picks waiting for routers; more get 503.", check=positive
    )
    max_attempts: int = setting(
        "TRUNKLINE_RELAY_MAX_ATTEMPTS",
        3,
        "Most candidates tried for a request.",
        check=_at_most_16,
    )
    max_connections: int = setting(
        "TRUNKLINE_RELAY_MAX_CONNECTIONS", 2000, "Most connections to upstreams, over all of them.", check=positive
    )
    max_idle_connections: int = setting(
        "TRUNKLINE_RELAY_MAX_IDLE_CONNECTIONS", 500, "Most of those kept open for reuse.", check=positive
    )
    upstream_client: Literal["http1", "httpx2"] = setting(
        "TRUNKLINE_RELAY_UPSTREAM_CLIENT",
        "http1",
        "What speaks HTTP to upstreams: `http1`, the relay's own, or `httpx2`, slower and less strict.",
    )
    client_timeout: Seconds = setting(
        "TRUNKLINE_RELAY_CLIENT_TIMEOUT",
        Seconds(60.0),
        "Longest wait for a client: for its head, its body, or to take what is sent.",
        check=positive,
    )
    pick_timeout: Seconds = setting(
        "TRUNKLINE_RELAY_PICK_TIMEOUT", Seconds(5.0), "Longest wait for a plan, over all routers asked.", check=positive
    )
    key_recheck: Seconds = setting(
        "TRUNKLINE_RELAY_KEY_RECHECK",
        Seconds(30.0),
        "Time between two checks of the API key of a request that goes on: one switched off ends its streams so soon.",
        check=positive,
    )
    retry_window: Seconds = setting(
        "TRUNKLINE_RELAY_RETRY_WINDOW", Seconds(60.0), "Time after which no further candidate is tried.", check=positive
    )
    connect_timeout: Seconds = setting(
        "TRUNKLINE_RELAY_CONNECT_TIMEOUT", Seconds(5.0), "An attempt: until connected.", check=positive
    )
    first_byte_timeout: Seconds = setting(
        "TRUNKLINE_RELAY_FIRST_BYTE_TIMEOUT",
        Seconds(300.0),
        "An attempt: from the request sent to the first byte; an answer that is not streamed is made in this time.",
        check=positive,
    )
    idle_timeout: Seconds = setting(
        "TRUNKLINE_RELAY_IDLE_TIMEOUT", Seconds(120.0), "An attempt: between two reads of the answer.", check=positive
    )
    total_timeout: Seconds = setting(
        "TRUNKLINE_RELAY_TOTAL_TIMEOUT",
        Seconds(3600.0),
        "A whole request, all attempts and the stream.",
        check=positive,
    )

    @property
    def client_bounds(self) -> HttpBounds:
        """The bounds of clients' connections."""
        head = min(self.head_timeout, self.client_timeout)
        return replace(self.http_bounds, head_timeout=head, stall_limit=self.client_timeout)

    @property
    def operations_paths(self) -> frozenset[str]:
        """Paths of operators that the clients' address answers."""
        return OPERATIONS if self.operations_for_clients else frozenset({LIVENESS})

    @property
    def limits(self) -> TimeLimits:
        """An attempt's limits, where its channel sets none."""
        return TimeLimits(self.connect_timeout, self.first_byte_timeout, self.idle_timeout, self.total_timeout)

    @property
    def trusted_networks(self) -> tuple[Network, ...]:
        """The trusted proxies, read."""
        return tuple(ip_network(text, strict=False) for text in self.trusted_proxies)

    def faults(self) -> list[SettingFault]:
        """Find what is at fault between settings."""
        faults = self.faults_of(self.operations_listen, "TRUNKLINE_RELAY_OPERATIONS_LISTEN")
        if (self.https_certificate is None) != (self.https_key is None):
            faults.append(SettingFault("TRUNKLINE_RELAY_HTTPS_CERT", "goes together with TRUNKLINE_RELAY_HTTPS_KEY"))
        clients = plaintext_fault(
            self.listen,
            loopback=self.listen.loopback,
            secured=self.https_certificate is not None,
            allowed=self.allow_plaintext,
        )
        if clients:
            faults.append(
                SettingFault("TRUNKLINE_RELAY_LISTEN", f"{clients}; with a front that speaks TLS for it, the latter")
            )
        faults += [
            SettingFault("TRUNKLINE_RELAY_ROUTERS", wrong) for at in self.routers if (wrong := self.dialling_fault(at))
        ]
        if self.old_run_secret is not None and self.run_secret is None:
            faults.append(
                SettingFault("TRUNKLINE_RELAY_OLD_RUN_SECRET", "goes together with TRUNKLINE_RELAY_RUN_SECRET")
            )
        return faults

    def clients_https(self) -> dict[str, str]:
        """What makes the clients' port speak TLS, if it is to."""
        if self.https_certificate is None or self.https_key is None:
            return {}
        return {"ssl_certfile": str(self.https_certificate), "ssl_keyfile": str(self.https_key)}
