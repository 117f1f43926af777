"""Walks a plan: one attempt after another until a candidate's answer has begun, or none is left.

The law: nothing here has been seen by the client. An answer counts as begun when its first body byte is here, so that an
upstream that breaks or stalls before it can still be passed over. What a failure means is decided in `failover`; when nothing
is left, the last answer that an upstream gave is the client's, not one made up here.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from relay_svc import errors, provider_error
from relay_svc.errors import HttpRefusal
from relay_svc.failover import Failure, Kind, Verdict, decide
from relay_svc.headers import to_upstream
from relay_svc.payload import Payload
from relay_svc.plan import Candidate, Plan, Result, Routers, TimeLimits
from relay_svc.record import Attempt, Record, now
from relay_svc.upstream import (
    BrokenAnswer,
    ConnectFailed,
    ConnectTimeout,
    ReadTimeout,
    Upstream,
    UpstreamAnswer,
    UpstreamFailure,
    UpstreamRequest,
)
from trunkline.telemetry import get_logger

log = get_logger()

Headers = list[tuple[bytes, bytes]]

MAX_ERROR: Final = 256 << 10
"""Most bytes of an upstream's error that are kept; what is longer is cut."""
_ERROR_LIMIT: Final = 5.0
"""Seconds that the body of an error is waited for: the next candidate is waiting too."""
_PATH: Final = "/chat/completions"


@dataclass(frozen=True, slots=True)
class Policy:
    """The bounds of a walk."""

    limits: TimeLimits
    retry_window: float
    """Seconds since the request came after which no further candidate is tried."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A good answer whose first bytes are here."""

    attempt: Attempt
    answer: UpstreamAnswer
    chunk: bytes


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An upstream's error, whole."""

    status: int
    headers: Headers
    body: bytes


class Walk:
    """One request's way through its plan."""

    def __init__(self, upstream: Upstream, routers: Routers, policy: Policy, record: Record, plan: Plan) -> None:
        """Take the ports, the bounds and the plan."""
        self._upstream, self._routers, self._policy = upstream, routers, policy
        self._record, self._plan = record, plan
        self.current: Attempt | None = None
        """The attempt under way, or the last."""

    async def begin(self, payload: Payload, client_headers: Iterable[tuple[bytes, bytes]]) -> Begun | ErrorAnswer:
        """Try candidates in order. Raises HttpRefusal when no upstream gave any answer."""
        said: ErrorAnswer | None = None
        failure = Failure(Kind.CONNECT_FAILED)
        for number, candidate in enumerate(self._plan.candidates, 1):
            attempt = self.current = Attempt(self._record, self._plan, candidate, number)
            self._record.channels.append(candidate.channel_id)
            try:
                begun = await self._try(attempt, payload, client_headers)
            except UpstreamFailure as error:
                failure = _failure_of(error)
                attempt.end(self._routers, _RESULTS[failure.kind])
            else:
                if isinstance(begun, Begun):
                    return begun
                if begun.status >= 400:  # noqa: PLR2004 - HTTP; a redirect is no answer
                    said = begun
                failure = self._read_error(attempt, begun)
                attempt.end(self._routers, Result.UPSTREAM_ERROR)
            if self._stops(failure, candidate):
                break
        if failure.kind is Kind.READ_TIMEOUT or said is None:
            raise _made_up(failure)
        return said

    async def _try(
        self, attempt: Attempt, payload: Payload, client_headers: Iterable[tuple[bytes, bytes]]
    ) -> Begun | ErrorAnswer:
        request = self._request(attempt.candidate, payload, client_headers)
        started = now()
        answer: UpstreamAnswer | None = None
        kept = False
        try:
            answer = await self._upstream.send(request)
            attempt.status = answer.status
            if not 200 <= answer.status < 300:  # noqa: PLR2004 - HTTP
                return await _error_answer(answer)
            chunk = await answer.read()
            attempt.first_byte = now()
            kept = True
            return Begun(attempt, answer, chunk)
        finally:
            self._record.upstream_wait += now() - started
            if answer is not None and not kept:
                await answer.aclose()

    def _request(
        self, candidate: Candidate, payload: Payload, client_headers: Iterable[tuple[bytes, bytes]]
    ) -> UpstreamRequest:
        if candidate.key_id and candidate.key is None:
            log.error("router sent no channel key: the relay's token lacks the scope `credentials`")
            raise errors.internal()
        try:
            body = payload.addressed_to(candidate.upstream_model, candidate.parameter_overrides)
        except ValueError as fault:
            log.error(  # noqa: TRY400 - the channel's fault, not a traceback's
                "parameter overrides are no JSON object", channel_id=candidate.channel_id
            )
            raise ConnectFailed("parameter overrides") from fault
        key = candidate.key.reveal() if candidate.key else None
        return UpstreamRequest(
            candidate.base_url.rstrip("/") + _PATH,
            to_upstream(client_headers, self._record.request_id, key, candidate.header_overrides),
            body,
            candidate.limits.over(self._policy.limits),
        )

    def _read_error(self, attempt: Attempt, said: ErrorAnswer) -> Failure:
        code, type_ = provider_error.read(said.body)
        attempt.code = code or type_
        return Failure(Kind.ANSWERED, said.status, code, type_)

    def _stops(self, failure: Failure, candidate: Candidate) -> bool:
        if now() - self._record.start > self._policy.retry_window:
            return True
        return decide(failure, repeat_after_timeout=candidate.repeat_after_timeout) is Verdict.STOP


async def _error_answer(answer: UpstreamAnswer) -> ErrorAnswer:
    """Read an error whole; one whose body breaks off or stalls is kept as far as it came."""
    body = bytearray()
    with contextlib.suppress(UpstreamFailure, TimeoutError):
        async with asyncio.timeout(_ERROR_LIMIT):
            while len(body) < MAX_ERROR and (chunk := await answer.read()):
                body += chunk
    return ErrorAnswer(answer.status, answer.headers, bytes(body[:MAX_ERROR]))


_RESULTS: Final = {
    Kind.CONNECT_FAILED: Result.CONNECT_FAILED,
    Kind.CONNECT_TIMEOUT: Result.CONNECT_TIMEOUT,
    Kind.READ_TIMEOUT: Result.READ_TIMEOUT,
    Kind.BROKEN_ANSWER: Result.BROKEN_ANSWER,
}


def _failure_of(error: UpstreamFailure) -> Failure:
    match error:
        case ConnectTimeout():
            return Failure(Kind.CONNECT_TIMEOUT)
        case ReadTimeout():
            return Failure(Kind.READ_TIMEOUT)
        case BrokenAnswer():
            return Failure(Kind.BROKEN_ANSWER)
        case _:
            return Failure(Kind.CONNECT_FAILED)


def _made_up(failure: Failure) -> HttpRefusal:
    if failure.kind is Kind.READ_TIMEOUT:
        return errors.upstream_timeout()
    if failure.kind is Kind.ANSWERED:  # with nothing that a client could use
        return errors.upstream_redirects()
    return errors.upstream_broken() if failure.kind is Kind.BROKEN_ANSWER else errors.upstream_unreachable()
