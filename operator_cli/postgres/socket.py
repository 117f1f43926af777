"""Where the server's socket lives: a short folder that only the server's user and root can enter.

A socket's path may have 107 bytes, file name included, while a data directory may be as deep as it likes; so the folder
stands under /run or /tmp and its name is made from the data directory's path, which also keeps the DSN the same from
one start to the next. /tmp belongs to everybody: a folder found there is used only if it is a real folder of the right
owner that nobody else can write to, otherwise a fresh one with a random name is made.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from operator_cli.errors import PostgresError

PORT = 5432  # names the socket file; no TCP port is opened
LONGEST_PATH = 107  # sun_path has 108 bytes, one of them the closing zero
_MODE = 0o700
_HOMES = (Path("/run"), Path("/tmp"))  # noqa: S108 — whatever is found in /tmp is looked at before it is used


def folder_name(data: Path) -> str:
    """The same for the same data directory, different for any other."""
    return "trunkline-" + hashlib.sha256(os.fsencode(data)).hexdigest()[:12]


def fits(folder: Path) -> bool:
    """Whether the socket in `folder` would have a path the kernel takes."""
    return len(os.fsencode(folder / f".s.PGSQL.{PORT}")) <= LONGEST_PATH


def socket_folder(data: Path, uid: int, gid: int, *, homes: tuple[Path, ...] = _HOMES) -> Path:
    """A folder for the socket of the server on `data`, owned by `uid`."""
    name = folder_name(data)
    for home in homes:
        if not fits(home / name):
            continue
        with contextlib.suppress(OSError):  # closed to us, read-only, or not there
            return _own(home / name, uid, gid)
    raise PostgresError(f"no folder for the database socket could be made in {' or '.join(map(str, homes))}")


def _own(folder: Path, uid: int, gid: int) -> Path:
    try:
        folder.mkdir(mode=_MODE)
    except FileExistsError:
        if _is_safe(folder, uid):
            return folder
        folder = Path(tempfile.mkdtemp(prefix=folder.name + "-", dir=folder.parent))
    os.chown(folder, uid, gid, follow_symlinks=False)
    return folder


def _is_safe(folder: Path, uid: int) -> bool:
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == uid and stat.S_IMODE(status.st_mode) == _MODE
