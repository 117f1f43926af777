"""RouterService over gRPC: translates and decides nothing. Decisions are the desk's, streams have files of their own."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias, cast

import grpc

from router_svc import metrics, wire
from router_svc.cache import Cache
from router_svc.desk import Decided, Desk, Request
from router_svc.doubts import undoubted
from router_svc.explain import explain
from router_svc.invalidation import InvalidationStream
from router_svc.journal import Journal
from router_svc.keyring import Keyring
from router_svc.listing import list_models
from router_svc.negatives import again
from router_svc.outcomes import Outcomes
from router_svc.pick_stream import PickStream
from router_svc.plan import Ask, Plan, caller_of
from router_svc.plan_writer import PlanWriter
from router_svc.refusing import refused_by
from router_svc.snapshot import Snapshot
from router_svc.status import status_message
from router_svc.streams import refusals_alone, take_each
from trunkline import auth, unstorable_text
from trunkline.errors import (
    ApiKeyUnknown,
    Cause,
    Draining,
    FieldFault,
    InvalidFields,
    NotReady,
    Refused,
    Unverified,
)
from trunkline.rpc import caller, refusal_of
from trunkline.secret import Secret
from trunkline.v1 import router_pb2, router_pb2_grpc

_SERVICE: Final = "/trunkline.v1.RouterService/"
SCOPES: Final[Mapping[str, str]] = {
    _SERVICE + "PickChannel": auth.PICK,
    _SERVICE + "PickChannels": auth.PICK,
    _SERVICE + "Invalidate": auth.INVALIDATE,
    _SERVICE + "ReportOutcomes": auth.PICK,
    _SERVICE + "ExplainPick": auth.PICK,
    _SERVICE + "ListModels": auth.PICK,
    _SERVICE + "GetRouterStatus": auth.PICK,
}
MOST_OUTCOMES: Final = 1_024
"""Outcomes of one message."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(slots=True)
class Parts:
    """What the service translates for."""

    cache: Cache
    desk: Desk
    asks: wire.Asks
    keyring: Keyring
    journal: Journal = field(default_factory=Journal)
    outcomes: Outcomes = field(default_factory=Outcomes)
    drain: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the service goes down: streams end, as soon as what they owe is answered."""
    start_time: float = field(default_factory=time.time)
    proof: Secret | None = None
    """What shows that this router is one, at its advertised address."""


def serve_on(server: grpc.aio.Server, parts: Parts) -> None:
    """Serve there. The messages of `PickChannels` are bytes both ways, so its handler replaces the generated one."""
    service = RouterService(parts)
    router_pb2_grpc.add_RouterServiceServicer_to_server(service, server)
    picks: Any = grpc.stream_stream_rpc_method_handler(cast("Any", service.PickChannels))
    cast("Any", server).add_registered_method_handlers(_SERVICE.strip("/"), {"PickChannels": picks})


class RouterService(router_pb2_grpc.RouterServiceServicer):
    """The servicer."""

    def __init__(self, parts: Parts) -> None:
        """Take the parts."""
        self._parts = parts
        self._cache, self._desk, self._asks = parts.cache, parts.desk, parts.asks

    async def PickChannel(
        self, request: router_pb2.PickChannelRequest, context: Context
    ) -> router_pb2.PickChannelResponse:
        """Pick once."""
        arrival = time.monotonic()
        asked = request.time_limit if request.HasField("time_limit") else None
        limit = wire.time_limit_of(asked, context.time_remaining())
        decided = await self._settled(request.pick, arrival, limit)
        metrics.PICK_SECONDS.observe(time.monotonic() - arrival)
        if isinstance(decided.decision, Refused):
            raise again(decided.decision)
        credentials = auth.CREDENTIALS in caller().scopes
        return router_pb2.PickChannelResponse(plan=self._writer(credentials=credentials).message(decided.decision))

    async def PickChannels(  # type: ignore[override]  # takes bytes, and writes to the context instead of yielding
        self, request_iterator: AsyncIterator[bytes], context: Context
    ) -> None:
        """Pick for a stream of messages."""
        credentials = auth.CREDENTIALS in caller().scopes

        writer = self._writer(credentials=credentials)
        stream = PickStream(self._desk, self._asks, self._parts.journal, writer, context.write)
        await take_each(request_iterator, stream.take, self._parts.drain, context.done)

    async def Invalidate(  # type: ignore[override]  # writes to the context instead of yielding
        self, request_iterator: AsyncIterator[router_pb2.InvalidateRequest], context: Context
    ) -> None:
        """Follow hints."""
        stream = InvalidationStream(self._cache, self._desk, context.write)
        with metrics.FOLLOWERS.track_inprogress():
            async with refusals_alone(context.done):
                await stream.serve(request_iterator, self._parts.drain)

    async def ReportOutcomes(  # type: ignore[override]  # writes to the context instead of yielding
        self, request_iterator: AsyncIterator[router_pb2.ReportOutcomesRequest], context: Context
    ) -> None:
        """Take outcomes."""

        async def take(message: router_pb2.ReportOutcomesRequest, _tasks: asyncio.TaskGroup) -> None:
            if len(message.outcomes) > MOST_OUTCOMES:
                raise InvalidFields([FieldFault("outcomes", f"are more than {MOST_OUTCOMES}")])
            for (channel_id, result, http_status), times in wire.outcomes_of(message).items():
                self._parts.outcomes.take(channel_id, wire.result_name(result), http_status, times)
            await context.write(router_pb2.ReportOutcomesResponse(accepted=len(message.outcomes)))

        await take_each(request_iterator, take, self._parts.drain, context.done)

    async def ExplainPick(
        self, request: router_pb2.ExplainPickRequest, context: Context
    ) -> router_pb2.ExplainPickResponse:
        """Pick, and tell why so."""
        arrival = time.monotonic()
        picked = self._request(request.pick, arrival, wire.time_limit_of(None, context.time_remaining()))
        decided = await self._desk.settle_one(picked, arrival)
        answer = router_pb2.ExplainPickResponse()
        if isinstance(decided.decision, Plan):
            answer.plan.CopyFrom(self._writer(credentials=False).message(decided.decision))
        else:
            answer.refusal.CopyFrom(refusal_of(decided.decision))
        if decided.snapshot is not None:
            answer.token.CopyFrom(wire.token_message(decided.snapshot.token))
            considered = explain(decided.snapshot, picked.ask, decided.decision)
            answer.considered.extend(map(wire.considered_message, considered))
        return answer

    async def ListModels(
        self, request: router_pb2.ListModelsRequest, context: Context
    ) -> router_pb2.ListModelsResponse:
        """List what a caller may use; a refusal and an empty list are proven first."""
        if not (request.api_key or request.group):
            raise InvalidFields([FieldFault("caller", "neither an API key nor a group")])
        if unstorable := unstorable_text.faults_of(request):
            raise InvalidFields(unstorable)
        arrival = time.monotonic()
        deadline = arrival + wire.time_limit_of(None, context.time_remaining())
        if (token := wire.min_token_of(request)) is not None:
            _raise(await self._desk.reached(token, arrival, deadline))
        listed = await self._listed(request)
        if not listed.models:
            _raise(await self._desk.proven(arrival, deadline))
            listed = await self._listed(request)
            _raise(listed.refusal)
        return router_pb2.ListModelsResponse(
            models=[
                router_pb2.ListModelsResponse.Model(name=name, providers=sorted(providers))
                for name, providers in sorted(listed.models.items())
            ],
            token=wire.token_message(listed.snapshot.token),
            degraded=self._cache.trust().degraded,
        )

    async def GetRouterStatus(
        self, _request: router_pb2.GetRouterStatusRequest, context: Context
    ) -> router_pb2.GetRouterStatusResponse:
        """Tell what this router holds; and prove what it is, to whoever may have credentials."""
        parts = self._parts
        if parts.proof is not None and auth.CREDENTIALS in caller().scopes:
            context.set_trailing_metadata(((auth.PROOF_NAME, parts.proof.reveal()),))
        return status_message(
            self._cache,
            parts.keyring,
            parts.start_time,
            cache_enabled=self._desk.from_snapshot,
            reads=auth.READ in caller().scopes,
        )

    # ------------------------------------------------------------------ inside

    def _request(self, pick: router_pb2.Pick, arrival: float, limit: float) -> Request:
        if self._parts.drain.is_set():
            raise Draining
        asked = self._asks.read(pick, limit)
        return Request(b"", self._asks.fresh(asked), asked.min_token, arrival + limit)

    async def _settled(self, pick: router_pb2.Pick, arrival: float, limit: float) -> Decided:
        request = self._request(pick, arrival, limit)
        decided = await self._desk.settle_one(request, arrival)
        self._parts.journal.note(request.ask, decided)
        return decided

    def _writer(self, *, credentials: bool) -> PlanWriter:
        return PlanWriter(credentials=credentials, trust=self._cache.trust)

    async def _listed(self, request: router_pb2.ListModelsRequest) -> "_Listed":
        """List models by one snapshot."""
        snapshot = self._cache.snapshot
        if snapshot is None:
            raise NotReady
        if self._cache.secrets.differs:
            raise Unverified(cause=Cause.SECRETS_DIFFER)
        listed = _Listed(snapshot, {}, None)
        groups: tuple[str, ...] = (request.group,)
        api_key = None
        if request.api_key:
            ask = Ask("", self._asks.key_hash(request.api_key), old_key_hash=self._asks.old_key_hash(request.api_key))
            api_key = caller_of(snapshot, ask)
            if api_key is None:
                unknown = ApiKeyUnknown(revision=snapshot.token.revision)
                accord = self._cache.secrets.accord
                return listed._replace(refusal=undoubted(snapshot, ask, unknown, accord))
            refusal = refused_by(snapshot, api_key, None, request.client_address, self._cache.time())
            if refusal is not None:
                return listed._replace(refusal=refusal)
            groups = api_key.groups
        for _ in list_models(snapshot, groups, api_key, listed.models):
            await asyncio.sleep(0)
        return listed


class _Listed(NamedTuple):
    """Models by one snapshot."""

    snapshot: Snapshot
    models: dict[str, set[str]]
    """Providers by name."""
    refusal: Refused | None


def _raise(refusal: Refused | None) -> None:
    if refusal is not None:
        raise again(refusal)


__all__ = ["SCOPES", "Parts", "RouterService", "serve_on"]
