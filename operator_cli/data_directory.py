"""The one folder `trunkline up` owns: who holds it, what is secret in it, where its parts are.

    <data>/            0711, so that the database's unprivileged user can pass through
        trunkline.lock held by the running supervisor for as long as it lives
        postgres/      the cluster, owned by the user the server runs as
        secrets/       0700, each file 0600: made once, then only read
        snapshots/     0700, a folder a router: its copies of the catalog, to start from without a database
        logs/          0700, one file a process
        metrics/       0700, what the relays counted since the last start

Law: a folder that is not ours is refused, never adopted: its permissions are about to be changed. Secrets appear whole or
not at all and are never replaced, since sealed keys and hashed API keys cannot be read without the ones they were made with.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from operator_cli.errors import DataDirectoryError, DataDirectoryInUseError
from trunkline.secret import Secret

_LOCK = "trunkline.lock"
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """A data directory that this process holds."""

    path: Path
    left_unclean: bool = False  # its last holder was killed; what that one started may still be ending

    @property
    def logs(self) -> Path:
        """Where each process writes its own file."""
        return self.path / "logs"

    def snapshots(self, router: str) -> Path:
        """Where a router keeps its copies of the catalog."""
        return self.path / "snapshots" / router

    @property
    def relay_metrics(self) -> Path:
        """Where the relays keep what they count, so that it adds up; empty when the supervisor starts."""
        return self.path / "metrics"

    def secret_file(self, name: str) -> Path:
        """The file of the secret `name`, whether it exists or not."""
        return self.path / "secrets" / name

    def secret(self, name: str) -> Secret:
        """The secret `name`, made at its first use by the rule for its kind."""
        file = self.secret_file(name)
        if not file.exists():
            self.keep_secret(name, _RULES[name]())
        return Secret(file.read_text(encoding="ascii").strip())

    def keep_secret(self, name: str, value: str, *, replace: bool = False) -> None:
        """Write a secret, complete or not at all. One that exists stays, unless `replace`."""
        file = self.secret_file(name)
        descriptor, fresh = tempfile.mkstemp(prefix=f".{name}-", dir=file.parent)  # mkstemp makes it 0600
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as output:
                output.write(value + "\n")
                output.flush()
                os.fsync(output.fileno())
            if replace:
                os.replace(fresh, file)  # noqa: PTH105 — the counterpart of os.link below
            else:
                with contextlib.suppress(FileExistsError):
                    os.link(fresh, file)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(fresh)  # noqa: PTH108 — as above


@contextmanager
def held(path: Path) -> Iterator[DataDirectory]:
    """The data directory at `path`, made where there is none, ours until the end of the block.

    Raises DataDirectoryInUseError when another process holds it, DataDirectoryError when it is not ours to use.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(path)
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DataDirectoryError(f"data directory {path} cannot be used: {error.strerror}") from error
    try:
        left_unclean = _take(lock, path)
        try:
            path.chmod(0o711)
            for part in ("secrets", "snapshots", "logs", "metrics"):
                (path / part).mkdir(mode=0o700, exist_ok=True)
                (path / part).chmod(0o700)
            for counted in (path / "metrics").glob("*.db"):  # of processes of the last run
                counted.unlink()
            yield DataDirectory(path.resolve(), left_unclean)
        finally:
            os.truncate(lock, 0)  # an end in order leaves no holder's name behind
    finally:
        os.close(lock)  # gives up the lock; the file stays, since removing it would race with the next holder


def _refuse_foreign(path: Path) -> None:
    found = sorted(entry.name for entry in path.iterdir() if entry.name != "lost+found")
    if found and _LOCK not in found:
        raise DataDirectoryError(
            f"{path} is not empty and is no trunkline data directory (it holds {', '.join(found[:3])}); "
            "choose another with --data-dir"
        )
    if path.stat().st_uid != os.geteuid():
        raise DataDirectoryError(f"{path} belongs to another user; choose another with --data-dir")


def _take(lock: int, path: Path) -> bool:
    """Take the lock. Answers whether its last holder ended without giving it up in order."""
    holder = os.pread(lock, 100, 0).decode("ascii", "replace").strip()
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataDirectoryInUseError(path, f"pid {holder}" if holder else "pid unknown") from None
    os.truncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return bool(holder)


def _token() -> str:
    return secrets.token_urlsafe(_KEY_BYTES)


def _encryption_keys() -> str:
    return "k1:" + base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


_RULES: dict[str, Callable[[], str]] = {
    "pepper": _token,
    "encryption_keys": _encryption_keys,
    "admin_token": _token,
    "service_token": _token,
    "run_secret": _token,
}
