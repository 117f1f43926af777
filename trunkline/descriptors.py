"""File descriptors of this process: as many as it may have, and a word when they run out.

Law: running out is said as what it is. The last few are kept from clients, so that there is one to say it with, and so that
the database, routers and log files still get theirs.
"""

import errno
import os
import resource
import time
from typing import Final

from prometheus_client import Counter

from trunkline.sparing import Sparing
from trunkline.telemetry import get_logger

log = get_logger()

EXHAUSTED: Final = Counter(
    "trunkline_descriptors_exhausted_total",
    "Times that no file descriptor was left, by what wanted one.",
    ["wanted_by"],
)
_MOST: Final = 1 << 20
"""What is asked for where there is no hard limit."""
_RESERVE: Final = 32
_ERRORS: Final = frozenset({errno.EMFILE, errno.ENFILE})
_MOST_CAUSES: Final = 8
_sparing: Final = Sparing()


def raise_limit() -> int:
    """Raises the soft limit to the hard one; returns what is in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:  # some systems allow less than they say
            log.warning("the limit of open files stays", soft=soft, hard=hard, fault=type(error).__name__)
    return limit()


def limit() -> int:
    """How many this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else soft


def highest_for_clients() -> int:
    """The first descriptor that is not for clients: the kernel gives the lowest free one, so few are left there."""
    most = limit()
    return most - min(_RESERVE, most // 8)


def ran_out(error: BaseException, wanted_by: str) -> bool:
    """Whether an error, or one behind it, says that there was no descriptor left; counts and logs it if so."""
    cause: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if isinstance(cause, OSError) and cause.errno in _ERRORS:
            note(wanted_by)
            return True
        cause = cause and (cause.__cause__ or cause.__context__)
    return False


def none_left(wanted_by: str) -> bool:
    """Whether none is to be had now: for failures of libraries that do not say why. Counts and logs it if so."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return ran_out(error, wanted_by)
    return False


def note(wanted_by: str) -> None:
    """Counts that there was none left, and logs it at most once a minute; `wanted_by` is a name of ours."""
    EXHAUSTED.labels(wanted_by).inc()
    if times := _sparing.count(wanted_by, time.monotonic()):
        log.error("out of file descriptors", wanted_by=wanted_by, times=times, limit=limit())
