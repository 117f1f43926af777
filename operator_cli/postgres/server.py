"""One embedded server: made once, started as often as needed, reached over a unix socket only.

Law: the cluster appears complete or not at all (initdb works beside it, then it is renamed into place). Only the server's
user and root can connect, as the kernel tells who is at the other end of the socket; there is no password and no TCP
port. A stop is a fast shutdown; after anything harder the server recovers from its own log.

What starts, watches and restarts the program described by `EmbeddedPostgres.program` is left to the supervisor, and so
is the lock that keeps a second one away from the data directory.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from operator_cli.postgres import binaries as installed
from operator_cli.postgres.cluster import ENVIRONMENT, ROLE, make_cluster, path_for, write_access_rules
from operator_cli.postgres.leftovers import forget_earlier_socket, wait_for_earlier_server
from operator_cli.postgres.socket import PORT, socket_folder
from operator_cli.postgres.user import server_user
from operator_cli.process import Program, StopStep

DATABASE = "trunkline"
_STOP = (
    StopStep(signal.SIGINT, 20.0),  # fast: roll back what is open, write a checkpoint
    StopStep(signal.SIGQUIT, 5.0),  # immediate: recover at the next start
)
_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "%m [%p] ",
    "cluster_name": "trunkline",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """A cluster that is ready to be started."""

    program: Program
    version: str
    socket: Path
    fresh: bool  # made just now
    kept_open: tuple[int, ...] = field(default=(), repr=False)

    def dsn(self, database: str = DATABASE) -> str:
        """How to connect, as a libpq string."""
        return make_conninfo(host=str(self.socket), port=PORT, user=ROLE, dbname=database)

    def close(self) -> None:
        """Give back what was opened to start it. Call once the server has stopped for good."""
        for descriptor in self.kept_open:
            os.close(descriptor)
        with contextlib.suppress(OSError):  # not empty after a kill: the next start uses it again
            self.socket.rmdir()


def prepare(data_directory: Path, log: Path, *, settings: Mapping[str, str] | None = None) -> EmbeddedPostgres:
    """Make the cluster in `data_directory`/postgres where there is none, and say how to start it.

    Blocks for about a second when a cluster has to be made. `settings` override the server's configuration.
    Raises PostgresError when there are no fitting binaries, initdb fails or an earlier server does not go away.
    """
    data = data_directory / "postgres"
    user = server_user(data)
    wait_for_earlier_server(data)
    chosen = installed.choose(installed.data_major(data), installed.discover())
    chosen = installed.readable_by(chosen, user, data_directory)
    fresh = not (data / "PG_VERSION").exists()
    if fresh:
        make_cluster(data, chosen, user, log)
    write_access_rules(data, user)
    uid, gid = (user.uid, user.gid) if user else (os.geteuid(), os.getegid())
    socket = socket_folder(data.resolve(), uid, gid)
    forget_earlier_socket(socket)
    data_path, kept_open = path_for(user, data)
    configuration = {**_SETTINGS, "unix_socket_directories": str(socket), **(settings or {})}
    program = Program(
        name="postgres",
        argv=(
            str(chosen.folder / "postgres"),
            *("-D", data_path),
            *(f"--{name}={value}" for name, value in configuration.items()),
        ),
        environment=ENVIRONMENT,
        log=log,
        user=user,
        inherited=kept_open,
        death_signal=signal.SIGINT,  # its fast shutdown, so that a killed supervisor leaves a clean cluster
        stop=_STOP,
    )
    return EmbeddedPostgres(program, chosen.version, socket, fresh, kept_open)


def create_database(server: EmbeddedPostgres, name: str = DATABASE) -> None:
    """Make the database `name` unless it is there. The server must answer."""
    with psycopg.connect(server.dsn("postgres"), autocommit=True, connect_timeout=10) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
