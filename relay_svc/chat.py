"""`POST /v1/chat/completions`: the way of one request.

    head → API key → body → model → plan → attempts → answer → outcome

The law: this file orders the steps and decides nothing of them. Whatever happens, the attempt under way is told to its
router, its connection is let go, and the request has its one log line.
"""

from dataclasses import dataclass

from relay_svc import errors, metrics, payload, record
from relay_svc.attempts import Begun, Policy, Walk
from relay_svc.deadlines import Deadlines
from relay_svc.exchange import Exchange
from relay_svc.forward import Forward, end_badly
from relay_svc.headers import to_client
from relay_svc.payload import Payload, PayloadFault
from relay_svc.plan import Asked, PickRefused, PicksOverloaded, Plan, Result, Routers, RoutersUnreachable
from relay_svc.record import Record, now
from relay_svc.upstream import Upstream
from trunkline.secret import Secret


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of one request; times in seconds."""

    policy: Policy
    max_attempts: int
    max_body_bytes: int
    body_timeout: float
    pick_timeout: float
    total_timeout: float


class ChatCompletions:
    """Serves chat completions."""

    def __init__(self, routers: Routers, upstream: Upstream, deadlines: Deadlines, bounds: Bounds) -> None:
        """Take the ports, the deadlines that a drain may bring forward, and the bounds."""
        self._routers, self._upstream, self._deadlines, self._bounds = routers, upstream, deadlines, bounds

    async def serve(self, exchange: Exchange, noted: Record, api_key: Secret) -> None:
        """Serve one request. Raises HttpRefusal before anything was sent, ClientStalled."""
        body = await self._body(exchange, noted)
        request = _parsed(body, noted)
        await self._route(exchange, noted, api_key, request)

    async def _body(self, exchange: Exchange, noted: Record) -> bytes:
        if exchange.header(b"content-encoding") not in (b"", b"identity"):
            raise errors.encoded_body()
        body = await exchange.body(self._bounds.max_body_bytes, self._bounds.body_timeout)
        noted.body_end = now()
        noted.bytes_in = len(body)
        return body

    async def _route(self, exchange: Exchange, noted: Record, api_key: Secret, request: Payload) -> None:
        asked = Asked(api_key, request.model, noted.client_address, self._bounds.max_attempts)
        events = False
        try:
            with self._deadlines.within(self._bounds.total_timeout):
                noted.plan = plan = await self._plan(asked)
                walk = Walk(self._upstream, self._routers, self._bounds.policy, noted, plan)
                try:
                    begun = await walk.begin(request, exchange.headers)
                    if isinstance(begun, Begun):
                        forward = Forward(exchange, noted, begun)
                        events = forward.events
                        await self._forward(forward, noted, begun)
                        return
                finally:
                    self._settle(walk, exchange)
            noted.outcome = record.UPSTREAM_ERROR
            headers = [pair for pair in to_client(begun.headers) if pair[0] != b"content-length"]
            await exchange.answer(begun.status, headers + noted.headers(noted.begin_answer()), begun.body)
        except TimeoutError:
            refusal = errors.going_down() if self._deadlines.expired else errors.deadline_exceeded()
            if not exchange.started:
                raise refusal from None
            noted.outcome, noted.reason = record.BROKEN, refusal.reason
            await end_badly(exchange, noted, refusal, events=events)

    async def _plan(self, asked: Asked) -> Plan:
        start = now()
        try:
            return await self._routers.pick(asked, self._deadlines.loop.time() + self._bounds.pick_timeout)
        except PickRefused as refused:
            raise errors.of_pick(refused) from None
        except RoutersUnreachable:
            raise errors.routers_unreachable() from None
        except PicksOverloaded:
            raise errors.overloaded("requests are waiting for a router") from None
        finally:
            metrics.PICK_SECONDS.observe(now() - start)

    async def _forward(self, forward: Forward, noted: Record, begun: Begun) -> None:
        try:
            result = await forward.run()
            begun.attempt.end(self._routers, result, noted.usage)
        finally:
            await begun.answer.aclose()

    def _settle(self, walk: Walk, exchange: Exchange) -> None:
        """Tell the router of an attempt that was cut off here, not by its upstream."""
        if walk.current is not None:
            left = exchange.gone or exchange.stalled
            walk.current.end(self._routers, Result.CLIENT_LEFT if left else Result.ABANDONED)


def _parsed(body: bytes, noted: Record) -> Payload:
    try:
        request = payload.parse(body)
    except PayloadFault as fault:
        raise errors.bad_body(str(fault), fault.param) from None
    noted.model, noted.stream = request.model, request.stream
    return request
