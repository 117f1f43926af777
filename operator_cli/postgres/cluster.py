"""A database cluster on disk: made whole or not at all, open to few, reached by a path its user can take.

Law: initdb works beside the place where the cluster will stand, and the result is renamed into it. A folder that holds
anything but a cluster is left alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from operator_cli.errors import PostgresError, with_log_tail
from operator_cli.logs import open_log
from operator_cli.postgres.binaries import Binaries
from operator_cli.postgres.user import User, can_enter, current_name

ROLE = "trunkline"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}  # none of the PG… names of whoever types
_INITDB_SECONDS = 120.0


def make_cluster(data: Path, chosen: Binaries, user: User | None, log: Path) -> None:
    """Make the cluster `data`, owned by `user`; what initdb says goes to `log`. Raises PostgresError."""
    for leftover in data.parent.glob(".initdb-*"):  # an initdb that was killed
        shutil.rmtree(leftover)
    if data.exists():
        if any(data.iterdir()):
            raise PostgresError(f"{data} is not empty and holds no database cluster (PG_VERSION is missing)")
        data.rmdir()
    fresh = Path(tempfile.mkdtemp(prefix=".initdb-", dir=data.parent))
    if user is not None:
        os.chown(fresh, user.uid, user.gid)
    path, kept_open = path_for(user, fresh)
    try:
        _run_initdb(
            [str(chosen.folder / "initdb"), "-D", path, *_initdb_options(chosen.major)],
            user,
            kept_open,
            log,
        )
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    finally:
        for descriptor in kept_open:
            os.close(descriptor)
    fresh.rename(data)


def _initdb_options(major: int) -> list[str]:
    # The builtin provider sorts alike on every machine; before 17 there is only libc's C, which sorts bytes as well.
    locale = ["--locale-provider=builtin", "--locale=C.UTF-8"] if major >= 17 else ["--locale=C"]  # noqa: PLR2004 — a PostgreSQL version
    return [
        *locale,
        "--encoding=UTF8",
        f"--username={ROLE}",
        "--auth=reject",
        "--data-checksums",
        "--no-instructions",
    ]


def _run_initdb(argv: list[str], user: User | None, inherited: tuple[int, ...], log: Path) -> None:
    identity: dict[str, Any] = {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": []}
    with open_log(log) as output:
        try:
            subprocess.run(
                argv,
                cwd="/",
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=inherited,
                timeout=_INITDB_SECONDS,
                check=True,
                **identity,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise PostgresError(with_log_tail(f"initdb failed ({error.__class__.__name__})", log)) from error


def write_access_rules(data: Path, user: User | None) -> None:
    """Let in root and the server's own user, told apart by the kernel (`peer`), both as the one role."""
    name = user.name if user else current_name()
    peers = "".join(f'peers "{peer}" {ROLE}\n' for peer in dict.fromkeys((name, "root")))
    for file, text in (("pg_hba.conf", "local all all peer map=peers\n"), ("pg_ident.conf", peers)):
        path = data / file
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def path_for(user: User | None, folder: Path) -> tuple[str, tuple[int, ...]]:
    """A path by which `user` can use `folder`, and the descriptors that must be passed on for it to work.

    Where a folder above is closed to `user`, the way in is a descriptor opened by us: /proc/self/fd/N needs no right to
    search the folders above. Nothing has to be opened up for a data directory under somebody's home.
    """
    folder = folder.resolve()
    if user is None or can_enter(user, folder):
        return str(folder), ()
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    path = f"/proc/self/fd/{descriptor}"
    if Path(path).exists():
        return path, (descriptor,)
    os.close(descriptor)
    raise PostgresError(
        f"the user {user.name} cannot reach {folder}; choose a data directory that is not under a closed folder"
    )
