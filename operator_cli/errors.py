"""What can keep `trunkline up` from running, each said in one clear message.

    OperatorError
    ├── DataDirectoryError      the data directory cannot be used (in use, not ours, no permission)
    ├── PostgresError           no fitting binaries, initdb failed, the server does not start
    ├── PortInUseError          somebody else has the port
    ├── ChildError              a child does not become ready, or keeps dying
    ├── CertificatesError       certificates cannot be made there
    └── DemoError               the demo upstream or its first request failed

Law: an operator reads these without a traceback, so each message says what is wrong and what to do about it. The
command line prints them and exits with status 1; nobody else catches them.
"""

from __future__ import annotations

from pathlib import Path


class OperatorError(Exception):
    """The base of all faults an operator can mend."""


class DataDirectoryError(OperatorError):
    """The data directory cannot be used."""


class DataDirectoryInUseError(DataDirectoryError):
    """Another supervisor holds the data directory."""

    def __init__(self, path: Path, holder: str) -> None:
        self.path = path
        self.holder = holder
        super().__init__(
            f"data directory {path} is in use by another trunkline ({holder}); "
            "stop it first, or choose another with --data-dir"
        )


class PostgresError(OperatorError):
    """Embedded Postgres cannot be prepared or started."""


class PostgresVersionError(PostgresError):
    """No binaries of the version that made the data are here."""

    def __init__(self, wanted: int, found: tuple[int, ...]) -> None:
        self.wanted = wanted
        self.found = found
        have = "only " + ", ".join(map(str, found)) if found else "none"
        super().__init__(
            f"the data was written by PostgreSQL {wanted}, and of its binaries {have} could be found; "
            f"install PostgreSQL {wanted} (Debian: postgresql-{wanted}), or dump and restore the data"
        )


class PortInUseError(OperatorError):
    """A port that was asked for belongs to somebody else."""

    def __init__(self, host: str, port: int, flag: str) -> None:
        self.host = host
        self.port = port
        self.flag = flag
        super().__init__(
            f"port {port} on {host} is already in use; free it, or choose another with {flag} (0 takes a free one)"
        )


class CertificatesError(OperatorError):
    """Certificates cannot be made."""


class ChildError(OperatorError):
    """A child does not become ready, or keeps dying."""


class DemoError(OperatorError):
    """The demo upstream or its first request failed."""


def with_log_tail(message: str, log: Path, *, lines: int = 15) -> str:
    """`message` followed by the last `lines` lines of `log`, which usually say why."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return message
    tail = text.splitlines()[-lines:]
    if not tail:
        return f"{message}; it wrote nothing to {log}"
    return "\n".join([f"{message}; the last lines of {log}:", *(f"    {line}" for line in tail)])
