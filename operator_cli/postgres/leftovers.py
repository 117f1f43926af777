"""What an earlier server on the same data may have left: itself, or notes of its process number.

Law: call these only while holding the data directory. A server that still runs is waited for, never killed; a note is
removed only when no server of this data goes by that number.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from operator_cli.errors import PostgresError
from operator_cli.postgres.socket import PORT

_EARLIER_SERVER_SECONDS = 30.0


def wait_for_earlier_server(data: Path) -> None:
    """A server whose owner was killed is shutting down now: wait for it.

    A stale note of one is left to Postgres itself, unless another program has its number by now, which Postgres would
    take for a living server.
    """
    note = data / "postmaster.pid"
    deadline = time.monotonic() + _EARLIER_SERVER_SECONDS
    while (pid := _noted_pid(note)) is not None and _is_running(pid):
        if not _works_in(pid, data):
            note.unlink(missing_ok=True)
            return
        if time.monotonic() > deadline:
            raise PostgresError(
                f"a Postgres server (pid {pid}) already runs on {data} and did not stop within "
                f"{_EARLIER_SERVER_SECONDS:.0f} s; stop it with: kill -INT {pid}"
            )
        time.sleep(0.05)


def forget_earlier_socket(socket: Path) -> None:
    """Remove what a killed server left there. No server runs on the data, and the folder is of this data alone.

    Postgres would do so itself, unless the process number noted there belongs to another program by now.
    """
    for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
        (socket / name).unlink(missing_ok=True)


def _noted_pid(note: Path) -> int | None:
    try:
        return int(note.read_text(encoding="ascii").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _works_in(pid: int, data: Path) -> bool:
    """Whether process `pid` works in `data`, as every Postgres process of that cluster does."""
    try:
        return Path(f"/proc/{pid}/cwd").samefile(data)
    except FileNotFoundError:
        return False
    except PermissionError:  # not ours to look at, so it may well be one
        return True
