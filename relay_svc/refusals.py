"""What a client is told when no candidate could be asked at all, and how an upstream's error is shown to it.

The law: pure but for one log line a fault of a channel. A client is told the most useful of the reasons: its own fault first,
then what could not be carried, last what no channel offers.
"""

from collections.abc import Sequence
from typing import Final

from relay_svc import errors
from relay_svc.dialects import CannotCarry, Dialect, DialectFault, read_error, write_error
from relay_svc.errors import HttpRefusal
from relay_svc.headers import to_client
from relay_svc.inbound import DIALECTS, Inbound
from relay_svc.operations import Format
from relay_svc.outbound import Passed
from relay_svc.plan import Candidate
from relay_svc.providers import NotOffered, Unusable
from relay_svc.providers.faults import AdapterFault, RunIncomplete
from relay_svc.shaping import ShapingFault, shown_status
from trunkline.telemetry import ASYNC, get_logger, tell

log = get_logger()

Headers = list[tuple[bytes, bytes]]

_KEPT: Final = frozenset({b"retry-after", b"retry-after-ms", b"x-should-retry"})
"""Headers of an upstream's error that mean the same in every family."""


def log_passed(passed: Passed, channel_id: int, request_id: str) -> None:
    """Log a fault that is the channel's, and a run that nobody would have waited for."""
    if isinstance(passed.why, RunIncomplete):
        facts: dict[str, object] = {"request_id": request_id, "channel_id": channel_id, "missing": passed.why.missing}
        tell("warning", f"{ASYNC} run not started", facts)
    elif isinstance(passed.why, Unusable | ShapingFault):
        why = passed.why.sentence if isinstance(passed.why, Unusable) else str(passed.why)
        log.error("channel cannot be used", channel_id=channel_id, request_id=request_id, why=why)


def all_passed(passed: Sequence[Passed], inbound: Inbound) -> HttpRefusal:
    """Say why nothing was asked."""
    reasons = sorted((each.why for each in passed), key=_use)
    if not reasons:
        return errors.upstream_unreachable()
    match reasons[0]:
        case DialectFault() | AdapterFault() as fault:
            return errors.bad_body(str(fault), fault.path or None)
        case CannotCarry() as loss:
            return errors.cannot_carry(loss.name)
        case RunIncomplete() as run:
            return errors.run_incomplete(run.missing)
        case NotOffered():
            return errors.not_offered(inbound.model, inbound.asked.operation)
    return errors.channels_unusable(inbound.model)


_ORDER: Final = (DialectFault, AdapterFault, CannotCarry, RunIncomplete, NotOffered, Unusable, ShapingFault)


def _use(why: object) -> int:
    return _ORDER.index(type(why))


def shown_error(
    inbound: Inbound, status: int, headers: Headers, body: bytes, written: Format, candidate: Candidate, request_id: str
) -> tuple[int, Headers, bytes]:
    """Show an upstream's error: as it came where the client reads its family, in the client's own words elsewhere."""
    mapped = shown_status(status, candidate.shaping)
    if _family(written) is _family(inbound.written):
        return mapped, [pair for pair in to_client(headers) if pair[0] != b"content-length"], body
    dialect = DIALECTS.get(inbound.written, Dialect.OPENAI_CHAT)
    said, told = write_error(dialect, read_error(status, body), request_id)
    kept = [(name.lower(), value) for name, value in headers if name.lower() in _KEPT]
    return (said if mapped == status else mapped), [*kept, (b"content-type", b"application/json")], told


def _family(written: Format) -> Format:
    return written if written in (Format.ANTHROPIC, Format.GEMINI) else Format.OPENAI
