"""What a client is told when no candidate could be asked at all, and how an upstream's error is shown to it.

The law: pure but for one log line a fault of a channel. A client is told the most useful of the reasons: its own fault first,
then what could not be carried, last what no channel offers.
"""

from typing import Final

from relay_svc import errors
from relay_svc.dialects import CannotCarry, Dialect, DialectFault, read_error, write_error
from relay_svc.errors import HttpRefusal
from relay_svc.headers import to_client
from relay_svc.inbound import DIALECTS, Inbound
from relay_svc.operations import Format
from relay_svc.outbound import NamedBeside, Passed
from relay_svc.plan import Candidate, NoPlan, PickRefused
from relay_svc.providers import NotOffered, Unusable
from relay_svc.providers.faults import AdapterFault, RunIncomplete
from relay_svc.shaping import ShapingFault, shown_status
from trunkline.errors import Reason
from trunkline.telemetry import ASYNC, get_logger, tell

log = get_logger()

Headers = list[tuple[bytes, bytes]]

_KEPT: Final = frozenset({b"retry-after", b"retry-after-ms", b"x-should-retry"})
"""Headers of an upstream's error that mean the same in every family."""


class PassedOver:
    """The channels of one request that could not be asked, and the best reason to tell the client."""

    __slots__ = ("_best", "_channels", "_request_id")

    def __init__(self, request_id: str) -> None:
        """Begin with none."""
        self._request_id = request_id
        self._channels: dict[int, int] = {}
        """The place in `_KINDS` of each channel's reason."""
        self._best: Passed | None = None

    def __len__(self) -> int:
        """How many channels."""
        return len(self._channels)

    def add(self, passed: Passed, channel_id: int) -> None:
        """Count a channel, and log a fault of its own; a request logs so many."""
        if len(self._channels) < _MOST_LOGGED:
            _log(passed, channel_id, self._request_id)
        use = _use(passed.why)
        self._channels[channel_id] = use
        if self._best is None or use < _use(self._best.why):
            self._best = passed

    def refusal(self, inbound: Inbound, end: NoPlan | None) -> HttpRefusal:
        """Say why nothing was asked; `end` is what the router said of what is left, None when it was not asked."""
        proven = isinstance(end, PickRefused) and end.reason is Reason.NO_CHANNEL
        if end is not None and not proven:
            return errors.of_pick(end)
        considered = end.metadata.get("considered", "") if isinstance(end, PickRefused) else ""
        counts = self._counts(considered)
        return self._why(inbound, counts) if proven else errors.channels_unseen(inbound.model, counts)

    def _counts(self, considered: str) -> str:
        """Tell how many channels were passed over, and why."""
        given = list(self._channels.values())
        reasons = ", ".join(f"{given.count(use)} {words}" for use, (_, words) in enumerate(_KINDS) if use in given)
        of = f" of {considered} considered" if considered else ""
        return f" (channels passed over: {len(given)}{of}; {reasons})"

    def _why(self, inbound: Inbound, counts: str) -> HttpRefusal:
        match self._best.why if self._best is not None else None:
            case DialectFault() | AdapterFault() as fault:
                return errors.bad_body(f"{fault}{counts}", fault.path or None)
            case CannotCarry() as loss:
                return errors.cannot_carry(loss.name, counts)
            case RunIncomplete() as run:
                return errors.run_incomplete(run.missing, counts)
            case NamedBeside(member):
                return errors.model_unchecked(member, counts)
            case NotOffered():
                return errors.not_offered(inbound.model, inbound.asked.operation, counts)
        return errors.channels_unusable(inbound.model, counts)


def _log(passed: Passed, channel_id: int, request_id: str) -> None:
    """Log a fault that is the channel's, and a run that nobody would have waited for."""
    if isinstance(passed.why, RunIncomplete):
        facts: dict[str, object] = {"request_id": request_id, "channel_id": channel_id, "missing": passed.why.missing}
        tell("warning", f"{ASYNC} run not started", facts)
    elif isinstance(passed.why, Unusable | ShapingFault):
        why = passed.why.sentence if isinstance(passed.why, Unusable) else str(passed.why)
        log.error("channel cannot be used", channel_id=channel_id, request_id=request_id, why=why)


_KINDS: Final = (
    (DialectFault, "cannot be given this body in another format"),
    (AdapterFault, "cannot be given this body in their own form"),
    (CannotCarry, "would lose what changes the meaning"),
    (RunIncomplete, "lack what a run needs"),
    (NamedBeside, "do not serve a model that is named besides"),
    (NotOffered, "do not offer it"),
    (Unusable, "have a fault in their set-up"),
    (ShapingFault, "have overrides that cannot be applied"),
)
"""Why a candidate may be passed over, the most useful for a client first, each with its words."""
_ORDER: Final = tuple(kind for kind, _ in _KINDS)
_MOST_LOGGED: Final = 16
"""Channels passed over that one request logs one by one."""


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
