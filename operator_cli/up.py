"""`trunkline up`: the whole house on one machine, in the order in which its parts need each other.

Order: data directory and ports (nothing runs before both are ours), Postgres, the admin (which migrates), routers, relays,
then the demo. What a stage is and how it stops is the supervisor's; how a program is started is in `services`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from operator_cli import ports, probes
from operator_cli.child import Child, Probe
from operator_cli.data_directory import DataDirectory, held
from operator_cli.demo import Demo, DemoRoute
from operator_cli.logs import keep_trimmed
from operator_cli.options import UpOptions
from operator_cli.ports import Port
from operator_cli.postgres import server
from operator_cli.process import Program
from operator_cli.services import Services, make_secrets
from operator_cli.settings import check_plaintext, inherited_environment
from operator_cli.summary import Summary
from operator_cli.supervisor import Supervisor, supervise, together
from operator_cli.terminal import Terminal

# The first start may have a long log to replay, or migrations to apply to a large catalog.
_DATABASE_WITHIN = 300.0  # seconds
_SERVICE_WITHIN = 60.0  # seconds
# Services whose supervisor was killed drain before they go, and keep their ports until then.
_LEFTOVERS_WITHIN = 20.0  # seconds


@dataclass(frozen=True, slots=True)
class _Ports:
    relay: Port
    relays_own: Sequence[Port]
    admin: Port
    admin_grpc: Port
    routers: Sequence[Port]
    router_http: Sequence[Port]


def up(options: UpOptions) -> None:
    """Run until a signal asks to stop. Raises OperatorError when it cannot."""
    check_plaintext(options.host, options.relay_port)
    terminal = Terminal(as_json=options.as_json)
    with held(options.data_dir) as data, ExitStack() as leaving:
        if data.left_unclean:
            terminal.progress("the last run was killed; what it left may take a moment to end")
        taken = _take_ports(options, patience=_LEFTOVERS_WITHIN if data.left_unclean else 0.0)
        make_secrets(data)
        house = _House(options, data, taken, terminal, leaving)
        asyncio.run(supervise(house.run, terminal.progress))
        terminal.progress("stopped")


def _take_ports(options: UpOptions, patience: float) -> _Ports:
    listen = partial(ports.listen, patience=patience)
    reserve = partial(ports.reserve, patience=patience)
    return _Ports(
        relay=listen(options.relay_port, "--relay-port", host=options.host),
        relays_own=[listen(0, "--relay-port") for _ in range(options.relays)],
        admin=listen(options.admin_port, "--admin-port"),
        admin_grpc=reserve(options.admin_grpc_port, "--admin-grpc-port"),
        routers=[reserve(number, "--router-port") for number in options.router_ports()],
        router_http=[listen(0, "--router-port") for _ in range(options.routers)],
    )


class _House:
    """Everything that is started, in order."""

    def __init__(
        self, options: UpOptions, data: DataDirectory, taken: _Ports, terminal: Terminal, leaving: ExitStack
    ) -> None:
        self._options = options
        self._data = data
        self._ports = taken
        self._terminal = terminal
        self._leaving = leaving
        self._dsn = ""
        self._children: dict[str, list[Child]] = {"postgres": [], "admin": [], "router": [], "relay": []}

    async def run(self, supervisor: Supervisor) -> None:
        """Bring everything up, say so, and stay until cancelled."""
        supervisor.chore(keep_trimmed(self._data.logs, self._terminal.progress))
        demo = Demo(self._data, self._terminal) if self._options.demo else None
        # The model loads while the services start.
        await together(self._start_services(supervisor), *([demo.start_upstream(supervisor)] if demo else []))
        tried = await demo.run(self._ports.admin.url, self._ports.relay.url) if demo else None
        summary = self._summary(tried)
        self._terminal.ready(summary.as_json(), summary.as_text())
        await asyncio.Event().wait()

    async def _start_services(self, supervisor: Supervisor) -> None:
        taken, count = self._ports, self._options
        self._dsn = await self._start_database(supervisor)
        services = Services(self._data, self._dsn, inherited_environment)
        admin = self._child("admin", services.admin(taken.admin, taken.admin_grpc), probes.http(taken.admin))
        await supervisor.start(admin, ports=[taken.admin, taken.admin_grpc])
        self._terminal.progress(f"admin ready on {taken.admin.url}")
        routers = [
            self._child("router", services.router(number, http, grpc), probes.http(http))
            for number, (http, grpc) in enumerate(zip(taken.router_http, taken.routers, strict=True), 1)
        ]
        await supervisor.start(*routers, ports=[*taken.routers, *taken.router_http])
        self._terminal.progress(f"{count.routers} routers ready on {', '.join(port.address for port in taken.routers)}")
        relays = [
            self._child(
                "relay",
                services.relay(number, taken.relay, own, taken.routers, alone=count.relays == 1),
                probes.http(own),
            )
            for number, own in enumerate(taken.relays_own, 1)
        ]
        await supervisor.start(*relays, ports=[taken.relay, *taken.relays_own])
        self._terminal.progress(f"relay ready on {taken.relay.url}, listening on {taken.relay.host}")

    async def _start_database(self, supervisor: Supervisor) -> str:
        """Start the embedded server, or make sure that the one given answers. Gives the DSN."""
        if self._options.dsn is not None:
            await probes.check_database(self._options.dsn)
            self._terminal.progress("the database given with --dsn answers")
            return self._options.dsn
        log = self._data.logs / "postgres.log"
        prepared = await asyncio.to_thread(server.prepare, self._data.path, log)
        self._leaving.callback(prepared.close)
        if prepared.fresh:
            self._terminal.progress(f"database cluster made in {self._data.path / 'postgres'}")
        await supervisor.start(self._child("postgres", prepared.program, probes.postgres(prepared.dsn("postgres"))))
        await asyncio.to_thread(server.create_database, prepared)
        self._terminal.progress(f"PostgreSQL {prepared.version} ready")
        return prepared.dsn()

    def _child(self, kind: str, program: Program, probe: Probe) -> Child:
        within = _DATABASE_WITHIN if kind in ("postgres", "admin") else _SERVICE_WITHIN
        # After a crash of everything at once, Postgres has to wait for the last processes of the old server to go.
        tries = 4 if kind == "postgres" else 1
        child = Child(program, probe, self._terminal.progress, ready_within=within, tries=tries)
        self._children[kind].append(child)
        return child

    def _summary(self, tried: DemoRoute | None) -> Summary:
        return Summary(
            relay=self._ports.relay.url,
            relays_own=[port.url for port in self._ports.relays_own],
            admin=self._ports.admin.url,
            admin_grpc=self._ports.admin_grpc.address,
            routers=[port.address for port in self._ports.routers],
            dsn=self._dsn,
            data=self._data,
            pids={kind: [child.pid for child in children] for kind, children in self._children.items()},
            demo=tried,
        )
