"""`GET /v1/workflows/runs/{execute_id}`: how a run fares that was started earlier, whichever relay started it.

The law: nothing is stored. The id, which is signed, says which channel to ask, by which model the run was started, and whose
it is; a router says, with its proof, whether this caller may still use that channel for that model. Whatever makes a run not
the caller's reads the same as no run: 404. Nothing is tried elsewhere, since no other channel knows of the run.
"""

from typing import Final

from relay_svc import errors, record
from relay_svc.deadlines import Deadlines
from relay_svc.errors import HttpRefusal
from relay_svc.exchange import Exchange
from relay_svc.plan import Asked, Candidate, PickRefused, Plan, Result, Routers
from relay_svc.providers import Call, Target
from relay_svc.providers.coze import calls, workflow
from relay_svc.providers.coze.runs import Execution
from relay_svc.providers.coze.steps import Failed
from relay_svc.record import Attempt, Record, now
from relay_svc.serving import Bounds
from relay_svc.shaping import upstream_headers
from relay_svc.upstream import (
    BrokenAnswer,
    ConnectTimeout,
    ReadTimeout,
    Upstream,
    UpstreamFailure,
    UpstreamRequest,
)
from trunkline.errors import Reason
from trunkline.secret import Secret
from trunkline.telemetry import get_logger

log = get_logger()

MAX_STATE: Final = 4 << 20
"""Most bytes of a run's state that are read."""
_NOT_THE_CALLERS: Final = frozenset({Reason.MODEL_NOT_ALLOWED, Reason.MODEL_UNKNOWN, Reason.MODEL_NOT_IN_GROUP})


class Runs:
    """Serves the states of runs."""

    def __init__(self, routers: Routers, upstream: Upstream, deadlines: Deadlines, bounds: Bounds) -> None:
        """Take the ports, the deadlines that a drain may bring forward, and the bounds."""
        self._routers, self._upstream, self._deadlines, self._bounds = routers, upstream, deadlines, bounds

    async def serve(self, exchange: Exchange, noted: Record, api_key: Secret, run_id: str) -> None:
        """Serve one request. Raises HttpRefusal or NoPlan before anything was sent, ClientStalled."""
        noted.body_end = now()
        try:
            with self._deadlines.within(self._bounds.total_timeout):
                state = await self._state(exchange, noted, api_key, run_id)
        except TimeoutError:
            raise errors.going_down() if self._deadlines.expired else errors.deadline_exceeded() from None
        answer = [(b"content-type", b"application/json"), *noted.headers(noted.begin_answer())]
        noted.outcome = record.SERVED
        await exchange.answer(200, answer, b"" if exchange.method == "HEAD" else state)

    async def _state(self, exchange: Exchange, noted: Record, api_key: Secret, run_id: str) -> bytes:
        run_ids = self._bounds.policy.run_ids
        execution = run_ids.read(run_id) if run_ids is not None else None
        if execution is None:
            raise errors.run_unknown()
        noted.model = execution.model
        noted.plan = plan = await self._plan(noted, api_key, execution)
        candidate = plan.candidates[0]
        if plan.api_key_id != execution.api_key_id:
            raise errors.run_unknown()
        if candidate.channel_id != execution.channel_id:  # the router does not know that one can be required
            raise errors.routers_unreachable()
        call = _call(candidate, execution)
        sent = upstream_headers(
            exchange.headers, noted.request_id, call, candidate.header_overrides, candidate.shaping.removed_headers
        )
        limits = candidate.limits.over(self._bounds.policy.limits)
        request = UpstreamRequest(call.url, sent, b"", limits, candidate.shaping.proxy, call.method)
        return await self._asked(Attempt(noted, plan, candidate, 1), request, run_id)

    async def _plan(self, noted: Record, api_key: Secret, execution: Execution) -> Plan:
        asked = Asked(api_key, execution.model, noted.client_address, 1, execution.channel_id)
        try:
            return await self._routers.pick(asked, self._deadlines.loop.time() + self._bounds.pick_timeout)
        except PickRefused as refused:
            if refused.reason in _NOT_THE_CALLERS:
                raise errors.run_unknown() from None
            raise

    async def _asked(self, attempt: Attempt, request: UpstreamRequest, run_id: str) -> bytes:
        """Ask the vendor, and tell the router what came of it."""
        attempt.record.channels.append(attempt.candidate.channel_id)
        result, started = Result.ABANDONED, now()
        try:
            body = await self._read(attempt, request)
            state = workflow.state_of(body, run_id)
            result = Result.UPSTREAM_ERROR if isinstance(state, Failed) else Result.SUCCESS
        except UpstreamFailure as failure:
            result, refusal = _come_to(failure)
            raise refusal from None
        finally:
            attempt.record.upstream_wait += now() - started
            attempt.end(self._routers, result)
        if isinstance(state, Failed):
            raise errors.run_not_told(f"{state.code}: {state.message}"[:256])
        return state

    async def _read(self, attempt: Attempt, request: UpstreamRequest) -> bytes:
        answer = await self._upstream.send(request)
        try:
            attempt.status, attempt.first_byte = answer.status, now()
            body = bytearray()
            while chunk := await answer.read():
                body += chunk
                if len(body) > MAX_STATE:
                    raise BrokenAnswer("the state of a run is too long")
            return bytes(body)
        finally:
            await answer.aclose()


def _call(candidate: Candidate, execution: Execution) -> Call:
    if candidate.key_id and candidate.key is None:
        log.error("router sent no channel key: the relay's token lacks the scope `credentials`")
        raise errors.internal()
    options = candidate.shaping.provider_options
    target = Target(candidate.provider, candidate.base_url, candidate.upstream_model, candidate.key, options)
    call = calls.history(target, execution.workflow_id, execution.execute_id)
    if call is None:
        raise errors.run_unknown()
    return call


def _come_to(failure: UpstreamFailure) -> tuple[Result, HttpRefusal]:
    match failure:
        case ReadTimeout():
            return Result.READ_TIMEOUT, errors.upstream_timeout()
        case BrokenAnswer():
            return Result.BROKEN_ANSWER, errors.upstream_broken()
        case ConnectTimeout():
            return Result.CONNECT_TIMEOUT, errors.upstream_unreachable()
        case _:
            return Result.CONNECT_FAILED, errors.upstream_unreachable()
