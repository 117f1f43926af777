"""The way of one request, whatever it asks.

    head → API key → body → model → plan → attempts → answer → outcome

The law: this file orders the steps and decides nothing of them. Whatever happens, the attempt under way is told to its
router, its connection is let go, and the request has its one log line.
"""

from dataclasses import dataclass

from relay_svc import errors, metrics, record
from relay_svc.admission import Admission
from relay_svc.attempts import ErrorAnswer, Policy, Walk
from relay_svc.beginning import Begun
from relay_svc.deadlines import Deadlines
from relay_svc.endpoints import Body, ModelIn, Route
from relay_svc.errors import HttpRefusal
from relay_svc.exchange import Exchange
from relay_svc.forward import Forward
from relay_svc.inbound import Content, Inbound
from relay_svc.incoming import Incoming
from relay_svc.key_watch import KeyWatch
from relay_svc.large_bodies import LARGE, LargeBodies
from relay_svc.model_check import check_named
from relay_svc.multipart import FormFault
from relay_svc.payload import CostlyBody, Payload, PayloadFault
from relay_svc.plan import Asked, Result, Routers
from relay_svc.providers import Adapter
from relay_svc.record import Record, now
from relay_svc.refusals import shown_error
from relay_svc.uploads import Spills, Upload
from relay_svc.upstream import Upstream
from trunkline.secret import Secret
from trunkline.telemetry import ASYNC, tell


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of one request; times in seconds."""

    policy: Policy
    max_attempts: int
    max_body_bytes: int
    body_timeout: float
    pick_timeout: float
    total_timeout: float
    key_recheck: float = 30.0
    max_held_bytes: int = 1 << 20
    """Of a form: held in memory until its model is known, and as many again for another attempt."""


class Serving:
    """Serves whatever a router must be asked a channel for."""

    def __init__(
        self,
        routers: Routers,
        upstream: Upstream,
        deadlines: Deadlines,
        bounds: Bounds,
        admission: Admission,
        large: LargeBodies,
    ) -> None:
        """Take the ports, the deadlines that a drain may bring forward, the bounds, and what large bodies need."""
        self._routers, self._upstream, self._deadlines, self._bounds = routers, upstream, deadlines, bounds
        self._admission = admission
        self._large = large
        self.keys = KeyWatch(routers, bounds.key_recheck, bounds.pick_timeout)
        """What ends requests whose API key is switched off; somebody has to run it."""
        self._spills = Spills()

    async def serve(self, exchange: Exchange, noted: Record, api_key: Secret, route: Route) -> None:
        """Serve one request. Raises HttpRefusal or NoPlan before anything was sent, ClientStalled."""
        _refuse_encoded(exchange)
        if route.endpoint.body is Body.MULTIPART:
            await self._serve_form(exchange, noted, api_key, route)
            return
        limit = min(route.endpoint.max_body_bytes, self._bounds.max_body_bytes)
        share = None
        if exchange.more_body:  # what came with its head is no more than anybody may send
            share = await self._admission.admit(exchange, api_key, noted.client_address, limit)
        try:
            body = await exchange.body(limit, self._bounds.body_timeout)
            if share is not None:
                share.shrink(len(body))
            noted.body_end, noted.bytes_in = now(), len(body)
            content: Content = body
            if len(body) >= LARGE and route.endpoint.model_in is ModelIn.MEMBER:
                content = await self._parsed(body)
            try:
                inbound = _read(exchange, noted, route, content)
            except CostlyBody:  # a few kilobytes of one can take as long as a hundred requests
                await self._admission.confirm(api_key, noted.client_address)
                inbound = _read(exchange, noted, route, await self._parsed(body))
            await self._route(exchange, noted, api_key, inbound)
        finally:
            if share is not None:  # held until the end: another candidate may want the body again
                share.release()

    async def _parsed(self, body: bytes) -> Payload:
        try:
            return await self._large.parse(body)
        except PayloadFault as fault:
            raise errors.bad_body(str(fault), fault.param) from None

    async def _serve_form(self, exchange: Exchange, noted: Record, api_key: Secret, route: Route) -> None:
        """Serve a request whose body goes up while it comes in."""
        bounds = self._bounds
        share = None
        if exchange.more_body:
            share = await self._admission.admit(
                exchange, api_key, noted.client_address, bounds.max_body_bytes, 2 * bounds.max_held_bytes
            )
        try:
            await self._pass_form(exchange, noted, api_key, route)
        finally:
            if share is not None:
                share.release()

    async def _pass_form(self, exchange: Exchange, noted: Record, api_key: Secret, route: Route) -> None:
        bounds = self._bounds
        incoming = Incoming(exchange, bounds.max_body_bytes, bounds.body_timeout)
        upload = Upload(incoming, exchange.header(b"content-type"), bounds.max_held_bytes, self._spills)
        try:
            try:
                with self._deadlines.within(bounds.total_timeout):
                    form = await upload.open()
            except TimeoutError:
                raise self._out_of_time() from None
            noted.body_end = now()
            await self._route(exchange, noted, api_key, _read(exchange, noted, route, form))
        finally:
            noted.bytes_in = upload.count
            upload.close()

    async def _route(self, exchange: Exchange, noted: Record, api_key: Secret, inbound: Inbound) -> None:
        asked = Asked(api_key, inbound.model, noted.client_address, self._bounds.max_attempts)
        forward: Forward | None = None
        deadline = self._deadlines.within(self._bounds.total_timeout, exchange.task)
        watched = self.keys.watching(asked, deadline)
        try:
            with deadline, watched:
                noted.plan = plan = await self._routers.pick(asked, self._pick_by())
                if inbound.beside:
                    await check_named(self._routers, asked, inbound, self._pick_by())
                walk = Walk(self._upstream, self._routers, self._deadlines, self._bounds.policy, noted, asked, plan)
                begun: Begun | ErrorAnswer | None = None
                try:
                    begun = await walk.begin(inbound, exchange.headers)
                    if isinstance(begun, Begun):
                        forward = Forward(exchange, noted, begun, inbound.written)
                        begun.attempt.end(self._routers, await forward.run(), noted.usage)
                        _tell(noted, begun)
                        return
                finally:
                    self._settle(walk, exchange)
                    if isinstance(begun, Begun):
                        await begun.answer.aclose()
            await _show(exchange, noted, inbound, begun)
        except TimeoutError:
            refusal = errors.of_pick(watched.refused) if watched.refused else self._out_of_time()
            if not exchange.started:
                raise refusal from None
            if forward is not None:
                await forward.end_early(refusal)
            else:  # an error of the upstream's, half of it sent
                noted.outcome, noted.reason = record.BROKEN, refusal.reason
                exchange.break_off(abort=exchange.close_delimited)

    def _pick_by(self) -> float:
        return self._deadlines.loop.time() + self._bounds.pick_timeout

    def _out_of_time(self) -> HttpRefusal:
        return errors.going_down() if self._deadlines.expired else errors.deadline_exceeded()

    def _settle(self, walk: Walk, exchange: Exchange) -> None:
        """Tell the router of an attempt that was cut off here, not by its upstream."""
        if walk.current is not None and not walk.current.ended:
            left = exchange.gone or exchange.stalled
            walk.current.end(self._routers, Result.CLIENT_LEFT if left else Result.ABANDONED)


def _refuse_encoded(exchange: Exchange) -> None:
    if exchange.header(b"content-encoding") not in (b"", b"identity"):
        raise errors.encoded_body()


def _read(exchange: Exchange, noted: Record, route: Route, body: Content) -> Inbound:
    try:
        inbound = Inbound(route, body, exchange.path, exchange.query, exchange.header(b"content-type"))
    except (PayloadFault, FormFault) as fault:
        raise errors.bad_body(str(fault), fault.param) from None
    noted.model, noted.stream = inbound.model, inbound.stream
    inbound.strict = exchange.header(b"x-trunkline-strict").lower() == b"true"
    return inbound


async def _show(exchange: Exchange, noted: Record, inbound: Inbound, said: ErrorAnswer) -> None:
    noted.outcome = record.UPSTREAM_ERROR
    status, headers, body = shown_error(
        inbound, said.status, said.headers, said.body, said.written, said.candidate, noted.request_id
    )
    await exchange.answer(status, headers + noted.headers(noted.begin_answer()), body)


def _tell(noted: Record, begun: Begun) -> None:
    """Tell what is rare: what was lost, and a run that goes on by itself."""
    if begun.out.losses:
        for label in begun.out.losses.labels:
            metrics.lost(label).inc()
    if begun.out.call.adapter is Adapter.COZE_WORKFLOW_ASYNC and noted.outcome == record.SERVED:
        facts: dict[str, object] = {"request_id": noted.request_id, "channel_id": begun.attempt.candidate.channel_id}
        tell("info", f"{ASYNC} run started", facts)
