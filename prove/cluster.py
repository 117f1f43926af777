"""Everything that runs: Postgres, admins and routers as processes of their own, with a proxy before each side of each.

The law: each process is the product as `python -m …` starts it, told by its environment alone. Admins and routers reach
the database each through a proxy of its own, and admins reach routers through one a router; clients of the proof dial
directly, so that what they see is the service and not the proxy.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg

from prove.clocks import Clock, way_of_setting
from prove.postgres import HOST, Server
from prove.proxy import Proxy
from prove.waiting import until
from trunkline.secret import Secret

ADMIN_TOKEN: Final = Secret("proof-admin-token-0123456789abcdef")
SERVICE_TOKEN: Final = Secret("proof-service-token-0123456789abcdef")
PEPPER: Final = Secret("proof-pepper-0123456789abcdef0123456789abcdef")
_SEAL: Final = "k1:" + base64.b64encode(b"proof-encryption-key-32-bytes-ok").decode()
DATABASE: Final = "trunkline"
_READY_SECONDS: Final = 90.0
_HISTORY: Final = Path(__file__).with_name("history.sql")


@dataclass(slots=True)
class Member:
    """One process of the product."""

    name: str
    module: str
    environment: Mapping[str, str] = field(repr=False)
    address: str
    http_port: int
    log: Path
    clock: Clock | None = None
    """Its wall clock, where that can be set."""
    process: subprocess.Popen[bytes] | None = None
    _writers: list[subprocess.Popen[bytes] | None] = field(default_factory=list)

    def launch(self, more: Mapping[str, str] | None = None, *, piped: bool = False) -> None:
        """Start it; settings may be added for this life. `piped`: a limit on its files shall not be one on its log."""
        with self.log.open("ab") as log:
            writer = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=log) if piped else None
            output = writer.stdin if writer is not None else log
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                env={**self.environment, **(more or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            if writer is not None and writer.stdin is not None:
                writer.stdin.close()
            self._writers.append(writer)

    def limit_files(self, size: int) -> None:
        """Let no file that it writes grow past a size in bytes, as if the disk were full; -1 lifts the limit."""
        if self.process is not None and self.alive:
            hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size if size >= 0 else hard, hard))

    async def ready(self) -> None:
        """Wait until it says that it is. Raises RuntimeError when it ends instead."""
        async with asyncio.timeout(_READY_SECONDS):
            while not await _says_ready(self.http_port):
                if not self.alive:
                    raise RuntimeError(f"{self.name} ended: see {self.log}")
                await asyncio.sleep(0.02)

    @property
    def alive(self) -> bool:
        """Whether the process runs (or stands frozen)."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if there is anybody to get it."""
        if self.process is not None and self.alive:
            self.process.send_signal(number)

    async def gone(self, limit: float = 90.0) -> None:
        """Wait until the process has ended. Raises TimeoutError."""
        async with asyncio.timeout(limit):
            await until(lambda: not self.alive)
            # Those who write its log end with it.
            await until(lambda: all(writer is None or writer.poll() is not None for writer in self._writers))


class Cluster:
    """The whole of it."""

    def __init__(self, directory: Path, *, admins: int = 2, routers: int = 3, uncached: int = 0) -> None:
        """Plan a cluster in an empty directory; the last `uncached` routers read the database for each pick."""
        self.directory = directory
        self._uncached = {f"router-{number}" for number in range(routers - uncached + 1, routers + 1)}
        self._counts = (admins, routers)
        self.server = Server(directory / "primary-1", free_port())
        self.database: dict[str, Proxy] = {}
        """The way to the database, by member."""
        self.streams: dict[str, Proxy] = {}
        """The way from the admins, by router."""
        self._clocks: Mapping[str, str] = {}
        """How they are set."""
        self.admins: list[Member] = []
        self.routers: list[Member] = []

    @property
    def members(self) -> list[Member]:
        """Admins and routers."""
        return [*self.admins, *self.routers]

    @property
    def dsn(self) -> str:
        """The way of the proof itself to the database."""
        return self.server.dsn(DATABASE)

    async def start(self) -> None:
        """Start everything; the proof's own history begins with the schema's first revision."""
        self.server.make()
        await self.server.start()
        await _run_sql(self.server.dsn(), f"CREATE DATABASE {DATABASE}")
        self._clocks = way_of_setting(self.directory)
        await self._plan()
        self.admins[0].launch()
        await self.admins[0].ready()
        await _run_sql(self.dsn, _HISTORY.read_text(encoding="utf-8"))
        for member in self.members[1:]:
            member.launch()
        for member in self.members:
            await member.ready()

    async def close(self) -> None:
        """End everything, whatever state it is in."""
        for member in self.members:
            member.signal(signal.SIGCONT)
            member.signal(signal.SIGKILL)
        for member in self.members:
            with contextlib.suppress(TimeoutError):
                await member.gone()
        for proxy in (*self.database.values(), *self.streams.values()):
            await proxy.close()
        self.server.close()

    def lose_disk(self, router: Member) -> None:
        """Take away the copies of the catalog that a router kept."""
        for path in self._copies(router.name).iterdir():
            path.unlink()

    def faults_logged(self) -> dict[str, int]:
        """Count the lines by which members said that something went wrong inside, by member."""
        return {
            member.name: sum(
                '"level":"error"' in line.replace(" ", "") or line.startswith("Traceback")
                for line in member.log.read_text(encoding="utf-8", errors="replace").splitlines()
            )
            for member in self.members
        }

    async def _plan(self) -> None:
        admins, routers = self._counts
        for number in range(1, admins + 1):
            self.admins.append(await self._admin(f"admin-{number}"))
        for number in range(1, routers + 1):
            self.routers.append(await self._router(f"router-{number}"))

    async def _admin(self, name: str) -> Member:
        grpc, http = free_port(), free_port()
        names = {
            "TRUNKLINE_ADMIN_LISTEN": f"{HOST}:{grpc}",
            "TRUNKLINE_ADMIN_HTTP_LISTEN": f"{HOST}:{http}",
        }
        return await self._member(name, "admin_svc", names, grpc, http)

    async def _router(self, name: str) -> Member:
        grpc, http = free_port(), free_port()
        self.streams[name] = Proxy(grpc)
        await self.streams[name].start()
        names = {
            "TRUNKLINE_ROUTER_LISTEN": f"{HOST}:{grpc}",
            "TRUNKLINE_ROUTER_HTTP_LISTEN": f"{HOST}:{http}",
            "TRUNKLINE_ROUTER_ID": name,
            "TRUNKLINE_ROUTER_ADVERTISE": f"{HOST}:{self.streams[name].port}",
            "TRUNKLINE_ROUTER_SNAPSHOT_DIR": str(self._copies(name)),
            "TRUNKLINE_ROUTER_SNAPSHOT_WAIT": "1s",
            "TRUNKLINE_ROUTER_CACHE": "off" if name in self._uncached else "on",
        }
        return await self._member(name, "router_svc", names, grpc, http)

    async def _member(self, name: str, module: str, names: Mapping[str, str], grpc: int, http: int) -> Member:
        clock = Clock(self.directory / f"{name}.clock")
        environment = {**await self._environment(name, names), **clock.environment(self._clocks)}
        return Member(name, module, environment, f"{HOST}:{grpc}", http, self._log(name), clock)

    async def _environment(self, name: str, names: Mapping[str, str]) -> dict[str, str]:
        self.database[name] = proxy = Proxy(self.server.port)
        await proxy.start()
        return {
            "PATH": "/usr/bin:/bin",
            "TRUNKLINE_DSN": self.server.dsn(DATABASE, proxy.port),
            "TRUNKLINE_ADMIN_TOKEN": ADMIN_TOKEN.reveal(),
            "TRUNKLINE_SERVICE_TOKEN": SERVICE_TOKEN.reveal(),
            "TRUNKLINE_PEPPER": PEPPER.reveal(),
            "TRUNKLINE_ENCRYPTION_KEYS": _SEAL,
            "TRUNKLINE_DIE_WITH_PARENT": "true",
            "TRUNKLINE_DRAIN_TIMEOUT": "2s",
            **names,
        }

    def _copies(self, name: str) -> Path:
        folder = self.directory / f"{name}-copies"
        folder.mkdir(exist_ok=True)
        return folder

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}.log"


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


async def _says_ready(port: int) -> bool:
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(b"GET /readyz HTTP/1.1\r\nhost: proof\r\nconnection: close\r\n\r\n")
            line = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in line


async def _run_sql(dsn: str, text: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        if "CREATE DATABASE" in text:
            await connection.execute(text.encode())
            return
        async with connection.transaction():
            await connection.execute(text.encode())


__all__ = ["ADMIN_TOKEN", "DATABASE", "PEPPER", "SERVICE_TOKEN", "Cluster", "Member", "free_port"]
