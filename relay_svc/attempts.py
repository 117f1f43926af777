"""Walks a plan: one attempt after another until a candidate's answer has begun, or none is left.

The law: nothing here has been seen by the client. What a failure means is decided in `failover`; when nothing is left, the
last answer that an upstream gave is the client's, not one made up here. A candidate that cannot be asked for what is wanted
is passed over, and no attempt is told of it.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from relay_svc import errors, outbound, provider_error
from relay_svc.asking_on import MOST_SEEN, WIDE, AskingOn
from relay_svc.attempt_failures import RESULTS, failure_of, made_up
from relay_svc.beginning import Beginning, Begun, Refused
from relay_svc.deadlines import Deadlines
from relay_svc.failover import Around, Failure, Judgement, Kind, Verdict, is_callers, judge, shown_status
from relay_svc.inbound import Inbound
from relay_svc.masking import masked, masked_error_headers
from relay_svc.model_check import passed_for_names
from relay_svc.operations import Format
from relay_svc.outbound import Outbound, Passed
from relay_svc.plan import Asked, Candidate, NoPlan, Plan, Result, Routers, TimeLimits, Unshown
from relay_svc.providers.coze.runs import RunIds
from relay_svc.record import Attempt, Record, now
from relay_svc.refusals import PassedOver
from relay_svc.retry_after import retry_after
from relay_svc.retry_budget import Cut, FailedPair, RetryBudgets
from relay_svc.upstream import (
    NoDescriptor,
    Upstream,
    UpstreamAnswer,
    UpstreamFailure,
)
from trunkline.telemetry import get_logger

log = get_logger()

Headers = list[tuple[bytes, bytes]]

MAX_ERROR: Final = 256 << 10
"""Most bytes of an upstream's error that are kept; what is longer is cut."""
_ERROR_LIMIT: Final = 5.0
"""Seconds that the body of an error is waited for: the next candidate is waiting too."""
_NOBODY: Final[frozenset[int]] = frozenset()
_LAST_WORD_LIMIT: Final = 1.0
"""Longest wait, in seconds, for further channels while the client could be given an upstream's error."""
_LONGEST_WAIT: Final = 2.0
"""Longest wait, in seconds, for an upstream that is the only one left and asks to be left alone; once a request."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The bounds of a walk."""

    limits: TimeLimits
    retry_window: float
    """Seconds since the request came after which no further candidate is tried."""
    budgets: RetryBudgets
    asking_on: AskingOn
    max_attempts: int
    pick_timeout: float
    """Seconds that a router may take for each further plan."""
    run_ids: RunIds | None = None


class ErrorAnswer(Unshown, frozen=True):
    """An upstream's error, whole; `written` is its format."""

    status: int
    headers: Headers
    body: bytes
    written: Format
    candidate: Candidate


class Walk:
    """One request's way through its plan."""

    def __init__(
        self,
        upstream: Upstream,
        routers: Routers,
        deadlines: Deadlines,
        policy: Policy,
        record: Record,
        asked: Asked,
        plan: Plan,
    ) -> None:
        """Take the ports, the bounds, what the router was asked, and its plan."""
        self._upstream, self._routers, self._deadlines, self._policy = upstream, routers, deadlines, policy
        self._record, self._asked, self._plan = record, asked, plan
        self._passed: PassedOver | None = None
        self._seen: frozenset[int] = _NOBODY
        """Channels of the plans before this one."""
        self._end: NoPlan | None = None
        """Why there is no further plan."""
        self._retried: list[FailedPair | None] = []
        """What failed before each retry; None where the caller was to blame."""
        self._waited = False
        self.current: Attempt | None = None
        """The attempt under way, or the last."""

    async def begin(self, inbound: Inbound, client_headers: Headers) -> Begun | ErrorAnswer:
        """Try candidates in order. Raises HttpRefusal when no upstream gave any answer."""
        said: ErrorAnswer | None = None
        failure: Failure | None = None
        around = outbound.Around(
            self._record.request_id,
            client_headers,
            int(time.time()),
            self._plan.api_key_id,
            self._policy.limits,
            self._policy.run_ids,
        )
        self._policy.budgets.request(now())
        left = list(range(len(self._plan.candidates)))
        while left or await self._more(left, failure):
            place = left.pop(0)
            candidate = self._plan.candidates[place]
            passed = await self._named(candidate, inbound) if inbound.beside else None
            out = passed or self._out(candidate, inbound, around)
            if isinstance(out, Passed):
                self._pass_over(out, candidate.channel_id)
                if self._seen:  # of many it could take long
                    await asyncio.sleep(0)
                continue
            met = await self._attempt(candidate, out)
            if isinstance(met, Begun):
                return met
            failure, answer = met
            said = answer or said
            if not inbound.again or not await self._goes_on(failure, candidate, place, left):
                break
        if failure is None:
            raise (self._passed or PassedOver(self._record.request_id)).refusal(inbound, self._end)
        if not is_callers(failure):  # the retries before it led to an answer
            self._policy.budgets.waste(now(), self._retried, self._plan.api_key_id)
        if failure.kind is Kind.READ_TIMEOUT or said is None:
            raise made_up(failure, len(self._record.channels))
        return said

    def _pass_over(self, passed: Passed, channel_id: int) -> None:
        if self._passed is None:
            self._passed = PassedOver(self._record.request_id)
        self._passed.add(passed, channel_id)
        self._record.passed_over = len(self._passed)

    async def _named(self, candidate: Candidate, inbound: Inbound) -> Passed | None:
        deadline = self._deadlines.loop.time() + self._policy.pick_timeout
        return await passed_for_names(self._routers, self._asked, candidate, inbound, deadline)

    def _out(self, candidate: Candidate, inbound: Inbound, around: outbound.Around) -> Outbound | Passed:
        if candidate.key_id and candidate.key is None:
            log.error("router sent no channel key: the relay's token lacks the scope `credentials`")
            raise errors.internal()
        return outbound.outbound(candidate, inbound, around)

    async def _attempt(self, candidate: Candidate, out: Outbound) -> Begun | tuple[Failure, ErrorAnswer | None]:
        noted = self._record
        noted.channels.append(candidate.channel_id)
        attempt = self.current = Attempt(noted, self._plan, candidate, len(noted.channels))
        answer: UpstreamAnswer | None = None
        kept = False
        try:
            answer = await self._upstream.send(out.request)
            attempt.status = status = answer.status
            if 200 <= status < 300:  # noqa: PLR2004 - HTTP
                left = out.request.limits.first_byte - (now() - attempt.start)
                begun = await Beginning(answer, out, self._deadlines, attempt).read(left)
                if isinstance(begun, Begun):
                    attempt.first_byte = now()
                    kept = True
                    return begun
                failure, said = _refused(attempt, begun)
            else:
                failure, said = await self._error(attempt, out, answer)
        except NoDescriptor:  # our own want, and no upstream's failure
            attempt.end(self._routers, Result.ABANDONED)
            raise errors.out_of_descriptors() from None
        except UpstreamFailure as error:
            failure = failure_of(error)
            attempt.end(self._routers, RESULTS[failure.kind])
            return failure, None
        finally:
            noted.upstream_wait += now() - attempt.start
            if answer is not None and not kept:
                await answer.aclose()
        attempt.code = failure.code or failure.type
        attempt.end(self._routers, RESULTS.get(failure.kind, Result.UPSTREAM_ERROR))
        return failure, said

    async def _error(
        self, attempt: Attempt, out: Outbound, answer: UpstreamAnswer
    ) -> tuple[Failure, ErrorAnswer | None]:
        key = attempt.candidate.key
        body = masked(await _error_body(answer), key)
        code, type_ = provider_error.read(body)
        failure = Failure(Kind.ANSWERED, answer.status, code, type_, retry_after(answer.headers, body, time.time()))
        if answer.status < 400:  # noqa: PLR2004 - HTTP; a redirect is no answer
            return failure, None
        headers = masked_error_headers(answer.headers, key)
        return failure, ErrorAnswer(answer.status, headers, body, out.call.errors_in, attempt.candidate)

    async def _goes_on(self, failure: Failure, candidate: Candidate, place: int, left: list[int]) -> bool:
        """Settle who is next; `left` are the places of those not tried yet."""
        spent = now() - self._record.start
        if spent > self._policy.retry_window or (
            self._seen and len(self._record.channels) >= self._policy.max_attempts
        ):
            return False
        blamed = None if is_callers(failure) else (candidate.channel_id, candidate.upstream_model)
        self._record.retries_cut = cut = self._policy.budgets.cut(now(), blamed, self._plan.api_key_id)
        if cut is not Cut.NOBODYS:
            return False
        candidates = self._plan.candidates
        judgement = self._judge(failure, candidate, left, self._policy.retry_window - spent, 1)
        if judgement.verdict is Verdict.NEXT and all(
            candidates[other].channel_id == candidate.channel_id for other in left
        ):
            if await self._more(left, failure):
                self._retried.append(blamed)
                return True
            if self._end is not None:  # asked in vain: a dead model is not asked for more each time
                self._retried.append(blamed)
            judgement = self._judge(failure, candidate, left, self._policy.retry_window - spent, 0)
        match judgement.verdict:
            case Verdict.NEXT:
                left[:] = [other for other in left if candidates[other].channel_id != candidate.channel_id]
            case Verdict.OTHER_KEY:
                left.sort(key=lambda other: candidates[other].channel_id != candidate.channel_id)
            case Verdict.WAIT:
                self._waited = True
                self._record.upstream_wait += judgement.wait  # the upstream's time, not the relay's
                await asyncio.sleep(judgement.wait)
                left.insert(0, place)
            case _:
                return False
        self._retried.append(blamed)
        return True

    async def _more(self, left: list[int], failure: Failure | None) -> bool:
        """Get a plan of channels not seen before; `left` are then the places of its candidates."""
        self._seen |= {candidate.channel_id for candidate in self._plan.candidates}
        attempts = self._policy.max_attempts - len(self._record.channels)
        remaining = self._policy.retry_window - (now() - self._record.start)
        if self._end is not None or attempts <= 0 or remaining <= 0 or len(self._seen) >= MOST_SEEN:
            return False
        wanted = WIDE if self._passed else attempts
        patience = min(remaining, self._policy.pick_timeout if failure is None else _LAST_WORD_LIMIT)
        try:
            plan = await self._policy.asking_on.ask(self._asked, self._seen, wanted, patience)
        except NoPlan as end:
            self._end = end
            return False
        fresh = [place for place, other in enumerate(plan.candidates) if other.channel_id not in self._seen]
        if fresh:
            left[:] = fresh
            self._record.plan = self._plan = plan
        return bool(fresh)

    def _judge(
        self, failure: Failure, candidate: Candidate, left: Sequence[int], remaining: float, unseen: int
    ) -> Judgement:
        """Judge a failure; `unseen` is 1 where there may be channels beyond the plan."""
        channels = [self._plan.candidates[other].channel_id for other in left]
        keys = channels.count(candidate.channel_id)
        return judge(
            failure,
            Around(
                len(channels) - keys + unseen,
                keys,
                0.0 if self._waited else min(_LONGEST_WAIT, remaining),
                candidate.repeat_after_timeout,
            ),
        )


def _refused(attempt: Attempt, refused: Refused) -> tuple[Failure, ErrorAnswer | None]:
    """A success that holds an error, or no answer."""
    failure = refused.failure
    if failure.kind is not Kind.ANSWERED:
        return failure, None
    headers = [(b"content-type", b"application/json")]
    body = masked(refused.body, attempt.candidate.key)
    return failure, ErrorAnswer(shown_status(failure), headers, body, refused.written, attempt.candidate)


async def _error_body(answer: UpstreamAnswer) -> bytes:
    """Read an error whole; one whose body breaks off or stalls is kept as far as it came."""
    body = bytearray()
    with contextlib.suppress(UpstreamFailure, TimeoutError):
        async with asyncio.timeout(_ERROR_LIMIT):
            while len(body) < MAX_ERROR and (chunk := await answer.read()):
                body += chunk
    return bytes(body[:MAX_ERROR])
