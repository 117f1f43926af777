"""What a failed attempt means: which class of failure it is, and what to do now.

    class                   known by                                          then, the first that can be done
    ─────────────────────   ───────────────────────────────────────────────   ─────────────────────────────────────
    unreachable             no connection                                     next
    timeout before send     time ran out before the request was sent whole    next: nothing can have been done
    timeout after send      time ran out after it was sent                    stop: it may be done, and billed, twice
                                                                              (next where the channel allows it)
    stalled                 a stream began, no content came in time           next: nothing was shown
    broken answer           the connection broke, or no HTTP came             next: no answer can come of it
    transient               408, 5xx, 3xx; a code                             next, wait
    rate limit              429; a code                                       other key, next, wait as long as it asks
    quota                   402; a code                                       other key, next
    credential              401, 403; a code                                  other key, next
    model missing           404, 410; a code                                  next
    region                  451; a code                                       next
    too large               413                                               next
    caller                  400, 409, 415, 422 and the rest; a code           stop
    policy                  a code                                            stop

The law: pure. A provider's own code is believed before its status, and `error.code` before `error.type`, since several
providers file a bad channel key under the type `invalid_request_error`. But 429, 408 and 5xx are passed over whatever they
say of the caller. All of this holds only while the client has not been sent a byte; after that nothing is tried again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from relay_svc.failure_words import CLASSES, FailureClass, class_of


class Kind(StrEnum):
    """How an attempt failed."""

    CONNECT_FAILED = "connect_failed"
    """No connection: refused, unreachable, no such host, TLS."""
    CONNECT_TIMEOUT = "connect_timeout"
    """A time limit ran out before the request was sent whole."""
    READ_TIMEOUT = "read_timeout"
    """A time limit ran out after the request was sent."""
    STALLED = "stalled"
    """A stream began, and its first content did not come in time."""
    BROKEN_ANSWER = "broken_answer"
    """The connection broke before the answer was whole, or what came was no HTTP."""
    ANSWERED = "answered"
    """The upstream answered with a status that is no success, or with a success that holds an error."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt.

    `status` is 0 unless the upstream answered; `code` and `type` are its own words for why; `retry_after` is how many
    seconds it asked to be left alone, None when it did not say.
    """

    kind: Kind
    status: int = 0
    code: str = ""
    type: str = ""
    retry_after: float | None = None
    how: str = ""
    """What a broken answer did, as a verb and its phrase, where more is known than that it broke."""


class Verdict(StrEnum):
    """What to do now."""

    NEXT = "next"
    """Try the next candidate."""
    OTHER_KEY = "other_key"
    """Try another key of the same channel."""
    WAIT = "wait"
    """Wait, then try the same candidate again."""
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Around:
    """What there is around a failed attempt; times in seconds."""

    candidates: int
    """Candidates of other channels that were not tried yet."""
    keys: int = 0
    """Candidates of the same channel, with another key, that were not tried yet."""
    patience: float = 0.0
    """Longest wait that makes sense: the time left, and no more than the relay's bound. 0 for none."""
    repeat_after_timeout: bool = False
    """The channel's word that doing it twice is no harm."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a failure is and what follows; `wait` is in seconds, 0 unless the verdict is WAIT."""

    failure_class: FailureClass
    verdict: Verdict
    wait: float = 0.0


UPSTREAM_FAULTS: Final = frozenset(
    word for word, kind in CLASSES.items() if kind not in (FailureClass.CALLER, FailureClass.POLICY)
)
"""Codes that blame the upstream's account, models or capacity: another candidate may well serve."""
CALLER_FAULTS: Final = frozenset(CLASSES) - UPSTREAM_FAULTS
"""Codes that blame what the caller sent: every candidate would say the same."""

_OF_KIND: Final[Mapping[Kind, FailureClass]] = {
    Kind.CONNECT_FAILED: FailureClass.UNREACHABLE,
    Kind.CONNECT_TIMEOUT: FailureClass.TIMEOUT_BEFORE_SEND,
    Kind.READ_TIMEOUT: FailureClass.TIMEOUT_AFTER_SEND,
    Kind.STALLED: FailureClass.STALLED,
    Kind.BROKEN_ANSWER: FailureClass.BROKEN_ANSWER,
}
_OF_STATUS: Final[Mapping[int, FailureClass]] = {
    401: FailureClass.CREDENTIAL,
    402: FailureClass.QUOTA,
    403: FailureClass.CREDENTIAL,
    404: FailureClass.MODEL_MISSING,
    405: FailureClass.MODEL_MISSING,
    407: FailureClass.TRANSIENT,
    408: FailureClass.TRANSIENT,
    410: FailureClass.MODEL_MISSING,
    413: FailureClass.TOO_LARGE,
    421: FailureClass.TRANSIENT,
    429: FailureClass.RATE_LIMIT,
    451: FailureClass.REGION,
}
"""Statuses that speak of this upstream's account, models or reach unless a code says otherwise."""
_NEVER_THE_CALLER: Final = frozenset({408, 429})
_THEN: Final[Mapping[FailureClass, tuple[Verdict, ...]]] = {
    FailureClass.UNREACHABLE: (Verdict.NEXT,),
    FailureClass.TIMEOUT_BEFORE_SEND: (Verdict.NEXT,),
    FailureClass.TIMEOUT_AFTER_SEND: (),
    FailureClass.STALLED: (Verdict.NEXT,),
    FailureClass.BROKEN_ANSWER: (Verdict.NEXT,),
    FailureClass.TRANSIENT: (Verdict.NEXT, Verdict.WAIT),
    FailureClass.RATE_LIMIT: (Verdict.OTHER_KEY, Verdict.NEXT, Verdict.WAIT),
    FailureClass.QUOTA: (Verdict.OTHER_KEY, Verdict.NEXT),
    FailureClass.CREDENTIAL: (Verdict.OTHER_KEY, Verdict.NEXT),
    FailureClass.MODEL_MISSING: (Verdict.NEXT,),
    FailureClass.REGION: (Verdict.NEXT,),
    FailureClass.TOO_LARGE: (Verdict.NEXT,),
    FailureClass.CALLER: (),
    FailureClass.POLICY: (),
}
"""What to do, in order of preference; STOP when none of it can be done."""
_THE_CALLERS: Final = frozenset({FailureClass.CALLER, FailureClass.POLICY, FailureClass.TOO_LARGE})
"""Failures that say nothing of the upstream's health: they take nothing from its retry budget."""
_STATUSES: Final[Mapping[FailureClass, int]] = {
    FailureClass.RATE_LIMIT: 429,
    FailureClass.QUOTA: 402,
    FailureClass.CREDENTIAL: 401,
    FailureClass.MODEL_MISSING: 404,
    FailureClass.REGION: 403,
    FailureClass.CALLER: 400,
    FailureClass.POLICY: 400,
}
_COARSE: Final = frozenset({"invalid_request", "invalid_request_error"})
"""Types too coarse to overrule a 401 or a 404: a bad channel key is filed under them too."""
_SHORT_WAIT: Final = 0.5
"""Seconds waited for an upstream in trouble that does not say how long."""


def decide(failure: Failure, *, repeat_after_timeout: bool = False) -> Verdict:
    """Tell whether another candidate may be tried: NEXT or STOP."""
    return judge(failure, Around(1, repeat_after_timeout=repeat_after_timeout)).verdict


def judge(failure: Failure, around: Around) -> Judgement:
    """Tell what a failure is, and what can be done about it here."""
    kind = classify(failure)
    steps = _THEN[kind]
    if kind is FailureClass.TIMEOUT_AFTER_SEND and around.repeat_after_timeout:
        steps = (Verdict.NEXT,)
    wait = _SHORT_WAIT if failure.retry_after is None else failure.retry_after
    possible = {
        Verdict.NEXT: around.candidates > 0,
        Verdict.OTHER_KEY: around.keys > 0,
        Verdict.WAIT: 0 <= wait <= around.patience,
    }
    verdict = next((step for step in steps if possible[step]), Verdict.STOP)
    return Judgement(kind, verdict, wait if verdict is Verdict.WAIT else 0.0)


def classify(failure: Failure) -> FailureClass:
    """Tell what kind of failure it is."""
    if failure.kind is not Kind.ANSWERED:
        return _OF_KIND[failure.kind]
    own = _OF_STATUS.get(failure.status)
    said = _said(failure, coarse=own is not None)
    if failure.status in _NEVER_THE_CALLER or failure.status >= 500 or failure.status < 400:  # noqa: PLR2004 - HTTP
        return _of_trouble(failure.status, said, own)
    return said or own or FailureClass.CALLER


def is_callers(failure: Failure) -> bool:
    """Whether the request was to blame, whoever else may still take it."""
    return classify(failure) in _THE_CALLERS


def shown_status(failure: Failure) -> int:
    """Tell the status of an error whose answer said that it was a success."""
    return failure.status if failure.status >= 400 else _STATUSES.get(classify(failure), 502)  # noqa: PLR2004 - HTTP


def _of_trouble(status: int, said: FailureClass | None, own: FailureClass | None) -> FailureClass:
    fallback = own or FailureClass.TRANSIENT
    if said in (FailureClass.CALLER, FailureClass.POLICY):
        # A success that holds an error says nothing but the error.
        return said if 200 <= status < 300 else fallback  # noqa: PLR2004 - HTTP
    return said or fallback


def _said(failure: Failure, *, coarse: bool) -> FailureClass | None:
    said = class_of(failure.code)
    if said is None and not (coarse and failure.type.lower() in _COARSE):
        said = class_of(failure.type)
    return said
