"""Postgres servers that may be stopped, frozen, killed, followed by a standby and failed over.

The law: the server is the one that operators get, by the same launcher, but reached by TCP, so that a proxy can stand in
between. What a COMMIT acknowledged outlives the processes (it is written, though not flushed, before the answer), so whatever
is missing after a kill was lost by somebody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import psycopg
from psycopg.conninfo import make_conninfo

from operator_cli.postgres.cluster import ROLE
from operator_cli.postgres.server import prepare
from operator_cli.process import Program, launch_argv, launch_options
from prove.waiting import until

HOST: Final = "127.0.0.1"
_ACCESS: Final = f"host all all {HOST}/32 trust\nhost replication all {HOST}/32 trust\n"
_SETTINGS: Final = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    # The operating system does not crash here; see the law above.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "max_wal_senders": "4",
    "wal_keep_size": "256MB",
    "wal_sender_timeout": "0",
    "wal_receiver_timeout": "0",
    "wal_receiver_status_interval": "1",
    "wal_retrieve_retry_interval": "100ms",
    "restart_after_crash": "on",
}
_START_SECONDS: Final = 90.0
_STOP_SECONDS: Final = 90.0


class Server:
    """One server on one data directory and one port."""

    def __init__(self, directory: Path, port: int) -> None:
        """Choose the place, which the server's user must be able to reach; `make` or `follow` makes the cluster there."""
        self.directory = directory
        self.port = port
        self.log = directory / "postgres.log"
        self._program: Program | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def program(self) -> Program:
        """How the server is started. Raises RuntimeError before it was made."""
        if self._program is None:
            raise RuntimeError(f"there is no cluster in {self.directory}")
        return self._program

    def dsn(self, database: str = "postgres", port: int | None = None) -> str:
        """How to connect, directly or through a proxy's port."""
        return make_conninfo(host=HOST, port=port or self.port, user=ROLE, dbname=database)

    def make(self, **more: str) -> None:
        """Make an empty cluster, with more settings. Forks, so it must come before the first gRPC channel of this process."""
        self.directory.mkdir(parents=True)
        settings = {**_SETTINGS, "port": str(self.port), **more}
        self._program = prepare(self.directory, self.log, settings=settings).program
        with (self._data / "pg_hba.conf").open("a", encoding="utf-8") as rules:
            rules.write(_ACCESS)

    async def follow(self, primary: Server, port: int) -> None:
        """Make a standby of a primary by pg_basebackup, by way of a port where it will go on following."""
        self.directory.mkdir(parents=True)
        self._data.mkdir(mode=0o700)
        program = replace(primary.program, log=self.log, argv=tuple(self._moved(primary.program)))
        if program.user is not None:
            os.chown(self._data, program.user.uid, program.user.gid)
        source = ("--host", HOST, "--port", str(port), "--username", ROLE)
        ways = ("--wal-method=stream", "--checkpoint=fast", "--no-sync", "--write-recovery-conf")
        copy = str(Path(program.argv[0]).with_name("pg_basebackup"))
        copying = _launch(replace(program, argv=(copy, "--pgdata", str(self._data), *source, *ways)))
        async with asyncio.timeout(_START_SECONDS):
            await until(lambda: copying.poll() is not None)
        if copying.returncode:
            raise RuntimeError(f"pg_basebackup failed: see {self.log}")
        self._program = program

    async def start(self) -> None:
        """Start the server and wait until it answers."""
        self._process = _launch(self.program)
        async with asyncio.timeout(_START_SECONDS):
            while not await self._answers():
                if self._process.poll() is not None:
                    raise RuntimeError(f"Postgres ended: see {self.log}")
                await asyncio.sleep(0.02)

    async def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT rolls back and writes a checkpoint, SIGQUIT does neither."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(number)
        async with asyncio.timeout(_STOP_SECONDS):
            await until(lambda: process.poll() is not None)

    async def kill(self) -> None:
        """Kill every process of the server at one moment, as a power cut would."""
        self.freeze()
        for pid in self.pids():
            _signal(pid, signal.SIGKILL)
        process = self._process
        if process is not None:
            await until(lambda: process.poll() is not None)

    def freeze(self) -> None:
        """Stop every process where it stands, the postmaster first, so that no new one escapes."""
        for pid in self.pids():
            _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let every process go on."""
        for pid in reversed(self.pids()):
            _signal(pid, signal.SIGCONT)

    def close(self) -> None:
        """End the server for good, whatever state it is in."""
        for pid in self.pids():
            _signal(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10.0)

    def pids(self) -> list[int]:
        """The postmaster and its children."""
        process = self._process
        return [] if process is None or process.poll() is not None else [process.pid, *_children(process.pid)]

    @property
    def _data(self) -> Path:
        return self.directory / "postgres"

    def _moved(self, program: Program) -> Iterator[str]:
        """Write another server's command line for this place and port."""
        after = ""
        for word in program.argv:
            port = word.startswith("--port=")
            yield str(self._data) if after == "-D" else f"--port={self.port}" if port else word
            after = word

    async def _answers(self) -> bool:
        try:
            connection = await psycopg.AsyncConnection.connect(self.dsn(), connect_timeout=2)
        except psycopg.OperationalError:
            return False
        await connection.close()
        return True


def _launch(program: Program) -> subprocess.Popen[bytes]:
    """Start a program as another user without forking this process, whose gRPC threads would not survive it."""
    with program.log.open("ab") as output:
        return subprocess.Popen(launch_argv(program), **launch_options(program, output.fileno()))


def _children(parent: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile
                status = (entry / "stat").read_text(encoding="ascii", errors="replace")
                if int(status.rpartition(")")[2].split()[1]) == parent:
                    yield int(entry.name)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
