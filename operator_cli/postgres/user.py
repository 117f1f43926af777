"""As which operating system user Postgres runs, and what that user can reach.

Law: Postgres refuses to run as root, so root lends it to an unprivileged user that already exists; anybody else runs it
as themselves. No user is created and no existing folder's permissions are changed.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

from operator_cli.errors import PostgresError
from operator_cli.process import User

__all__ = ["User", "can_enter", "server_user"]

_CANDIDATES = ("trunkline", "postgres", "nobody")


def server_user(data: Path) -> User | None:
    """Whom to run the server as; None means the current user. Existing `data` stays with the user who owns it."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return _user_of(data)
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return User(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise PostgresError(
        f"Postgres does not run as root, and none of the users {', '.join(_CANDIDATES)} exists; "
        "create one (useradd --system trunkline), or run trunkline as an ordinary user"
    )


def current_name() -> str:
    """The name of the user this process runs as, by which Postgres knows its peers on the socket."""
    return pwd.getpwuid(os.geteuid()).pw_name


def can_enter(user: User, folder: Path) -> bool:
    """Whether `user` can reach and search `folder`. Asked of the kernel, since modes do not tell about ACLs."""
    probe = subprocess.run(
        ["/bin/sh", "-c", 'test -r "$1" && test -x "$1"', "sh", folder],
        cwd="/",
        env={},
        user=user.uid,
        group=user.gid,
        extra_groups=[],
        timeout=10,
        check=False,
    )
    return probe.returncode == 0


def _user_of(data: Path) -> User:
    status = data.stat()
    try:
        entry = pwd.getpwuid(status.st_uid)
    except KeyError:
        raise PostgresError(
            f"{data} belongs to user number {status.st_uid}, who does not exist on this machine; "
            "chown it to an unprivileged user that does"
        ) from None
    return User(entry.pw_name, entry.pw_uid, status.st_gid)
