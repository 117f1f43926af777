"""Runs the relay: `python -m relay_svc`, told by its environment.

The law: it says it is ready once a router with a snapshot has answered. SIGTERM turns new connections away and lets
open requests end; those still open shortly before the drain's time is up are told so. Outcomes go last.
"""

import asyncio
import gc
import sys
import time

from relay_svc import metrics, tally
from relay_svc.admission import Admission
from relay_svc.app import Door, Relay
from relay_svc.asking_on import AskingOn
from relay_svc.attempts import Policy
from relay_svc.body_budget import BodyBudget
from relay_svc.cors import Cors
from relay_svc.deadlines import Deadlines
from relay_svc.http_protocol import RelayConnection
from relay_svc.known_keys import KnownKeys
from relay_svc.large_bodies import LargeBodies
from relay_svc.models import ModelList
from relay_svc.providers.coze.runs import RunIds
from relay_svc.retry_budget import RetryBudgets
from relay_svc.router_client import LinkSettings, RouterClient
from relay_svc.runs import Runs
from relay_svc.serving import Bounds, Serving
from relay_svc.settings import Settings
from relay_svc.upstream import Upstream
from relay_svc.upstream_http1 import Http1Upstream
from relay_svc.upstream_httpx2 import Httpx2Upstream
from relay_svc.upstream_proxies import ThroughProxies
from trunkline import loop_lag, telemetry
from trunkline.http_connection import BoundedConnection
from trunkline.serving import Health, HttpServer, operations, run
from trunkline.settings import read_or_exit
from trunkline.telemetry import get_logger

log = get_logger()

_FLUSH = 1.0
"""Seconds given to the last outcomes."""
_YOUNG = 10_000
"""Objects made and not yet gone that bring the garbage collector in: some hundred requests' worth."""
_LAST_WORDS = 0.8
"""Share of the drain's time after which open requests are ended; the rest is for telling their clients."""


def main() -> int:
    """Run until SIGTERM; gives the exit status."""
    settings = read_or_exit(Settings)
    telemetry.configure("relay", settings.level, settings.log_format)
    _settle_memory()
    return run(lambda stop: serve(settings, stop), die_with_parent=settings.die_with_parent)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop`. Raises OSError when the address cannot be had."""
    health = Health()
    deadlines = Deadlines()
    routers = RouterClient(
        settings.routers,
        LinkSettings(settings.service_token, settings),
        max_waiting=settings.max_waiting_picks,
    )
    upstream = _upstream(settings)
    large = LargeBodies(settings.body_room_timeout)
    relay = _relay(settings, routers, upstream, deadlines, large)
    server = HttpServer(
        operations(health, settings.shared_metrics),
        settings.listen,
        drain_timeout=settings.drain_timeout,
        http=RelayConnection.direct(relay, settings.client_bounds, settings.operations_paths, _cors(settings)),
        **settings.clients_https(),
    )
    own = _own_operations(settings, health)
    log.info("listening", address=server.address, operations=own.address if own else None)
    if own is None and not settings.operations_for_clients:
        log.warning("metrics and readiness are answered nowhere: set TRUNKLINE_RELAY_OPERATIONS_LISTEN")

    def on_change() -> None:
        if routers.ready:  # for good: a relay whose routers are all gone says so request by request, with a retry
            health.set_ready()

    over = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        if own is not None:
            tasks.create_task(own.serve(over), name="operations")
        following = tasks.create_task(routers.run(on_change), name="routers")
        draining = tasks.create_task(_drain(stop, settings.drain_timeout, deadlines, health), name="drain")
        watching = tasks.create_task(loop_lag.watch(metrics.LOOP_LAG.observe), name="loop lag")
        settling = tasks.create_task(tally.keep_settled(), name="metrics")
        checking = tasks.create_task(relay.watch_keys(), name="API keys of open requests")
        await server.serve(stop)
        draining.cancel()
        settling.cancel()
        checking.cancel()
        watching.cancel()
        await routers.flush(_FLUSH)
        following.cancel()
        over.set()
    await large.aclose()
    await upstream.aclose()


def _settle_memory() -> None:
    """Have the garbage collector look less often, and not at what is here for good: it took a tenth of a request's time."""
    gc.freeze()
    gc.set_threshold(_YOUNG)


def _own_operations(settings: Settings, health: Health) -> HttpServer | None:
    """Give the server that tells of this process alone, until its very end."""
    if settings.operations_listen is None:
        return None
    return HttpServer(
        operations(health, settings.shared_metrics),
        settings.operations_listen,
        drain_timeout=1,
        http=BoundedConnection.bounded(settings.http_bounds),
        **settings.https(),
    )


async def _drain(stop: asyncio.Event, seconds: float, deadlines: Deadlines, health: Health) -> None:
    await stop.wait()
    health.set_draining()
    await asyncio.sleep(seconds * _LAST_WORDS)
    deadlines.expire()


def _upstream(settings: Settings) -> Upstream:
    chosen = Http1Upstream if settings.upstream_client == "http1" else Httpx2Upstream
    direct_way = chosen(max_connections=settings.max_connections, max_idle=settings.max_idle_connections)
    return ThroughProxies(
        direct_way,
        lambda url: Httpx2Upstream(
            max_connections=settings.max_connections, max_idle=settings.max_idle_connections, proxy=url
        ),
    )


def _run_ids(settings: Settings) -> RunIds | None:
    secrets = [secret for secret in (settings.run_secret, settings.old_run_secret) if secret is not None]
    return RunIds(secrets) if secrets else None


def _cors(settings: Settings) -> Cors | None:
    return Cors(settings.cors_origins) if settings.cors_origins else None


def _admission(settings: Settings, routers: RouterClient) -> Admission:
    return Admission(
        routers,
        KnownKeys(time.monotonic),
        BodyBudget(settings.max_body_bytes_in_flight, settings.body_room_timeout),
        settings.max_unknown_body_bytes,
        settings.client_timeout,
        settings.pick_timeout,
    )


def _relay(
    settings: Settings, routers: RouterClient, upstream: Upstream, deadlines: Deadlines, large: LargeBodies
) -> Relay:
    bounds = Bounds(
        policy=Policy(
            settings.limits,
            settings.retry_window,
            RetryBudgets(),
            AskingOn(routers),
            settings.max_attempts,
            settings.pick_timeout,
            _run_ids(settings),
        ),
        max_attempts=settings.max_attempts,
        max_body_bytes=settings.max_body_bytes,
        body_timeout=settings.client_timeout,
        pick_timeout=settings.pick_timeout,
        total_timeout=settings.total_timeout,
        max_held_bytes=settings.max_held_bytes,
        key_recheck=settings.key_recheck,
    )
    return Relay(
        Serving(routers, upstream, deadlines, bounds, _admission(settings, routers), large),
        ModelList(routers, settings.pick_timeout),
        Runs(routers, upstream, deadlines, bounds),
        Door(
            settings.trusted_networks,
            settings.max_in_flight,
            _cors(settings),
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
