"""How a failed attempt is said: as a failure to judge, as a result to a router, and to the client where no upstream spoke.

Law: pure; tables.
"""

from collections.abc import Callable
from typing import Final

from relay_svc import errors
from relay_svc.errors import HttpRefusal
from relay_svc.failover import Failure, Kind
from relay_svc.plan import Result
from relay_svc.upstream import BrokenAnswer, ConnectTimeout, ReadTimeout, UpstreamFailure

RESULTS: Final = {
    Kind.CONNECT_FAILED: Result.CONNECT_FAILED,
    Kind.CONNECT_TIMEOUT: Result.CONNECT_TIMEOUT,
    Kind.READ_TIMEOUT: Result.READ_TIMEOUT,
    Kind.STALLED: Result.READ_TIMEOUT,
    Kind.BROKEN_ANSWER: Result.BROKEN_ANSWER,
}


def failure_of(error: UpstreamFailure) -> Failure:
    """Bring what an upstream's connection raised to a failure."""
    match error:
        case ConnectTimeout():
            return Failure(Kind.CONNECT_TIMEOUT)
        case ReadTimeout():
            return Failure(Kind.READ_TIMEOUT)
        case BrokenAnswer():
            return Failure(Kind.BROKEN_ANSWER)
        case _:
            return Failure(Kind.CONNECT_FAILED)


def made_up(failure: Failure, tried: int) -> HttpRefusal:
    """Make the client's error of a failure whose upstream gave none; `tried` counts the attempts."""
    made: dict[Kind, Callable[[], HttpRefusal]] = {
        Kind.READ_TIMEOUT: errors.upstream_timeout,
        Kind.STALLED: errors.upstream_timeout,
        Kind.ANSWERED: errors.upstream_redirects,  # with nothing that a client could use
        Kind.BROKEN_ANSWER: lambda: errors.upstream_broken(failure.how),
    }
    return made[failure.kind]() if failure.kind in made else errors.upstream_unreachable(tried)
