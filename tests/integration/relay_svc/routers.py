"""A router's double: a real gRPC server of RouterService whose plans are given by the test, and which can misbehave.

Law: it keeps the protocol of PickChannels (each message answered at once, deferred picks by id) unless a test told it
otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from trunkline import auth
from trunkline.auth import PICK, TokenTable
from trunkline.errors import ApiKeyUnknown, FieldFault, InvalidFields, ModelUnknown, NoChannel, Refused
from trunkline.rpc import Server, refusal_of
from trunkline.secret import Secret
from trunkline.settings import Listen
from trunkline.v1 import router_pb2 as pb
from trunkline.v1 import router_pb2_grpc

API_KEY = "sk-client"
OTHER_KEY = "sk-other"
API_KEYS = {API_KEY: 5, OTHER_KEY: 6}
TOKEN = Secret("the-service-token")
REVISION = 7
DEFAULT_CANDIDATES = 3
MOST_EXCLUDED = 4096
_METHODS = ("PickChannels", "PickChannel", "ReportOutcomes", "ListModels", "GetRouterStatus")
SCOPES = {f"/trunkline.v1.RouterService/{method}": PICK for method in _METHODS}


def candidate(channel_id: int, base_url: str, **fields: Any) -> pb.Candidate:
    """A candidate with a channel key of its own."""
    given: dict[str, Any] = {
        "channel_name": f"c{channel_id}",
        "provider": "openai-compatible",
        "upstream_model": "m",
        "key_id": channel_id * 10,
        "key": f"sk-channel-{channel_id}",
    }
    return pb.Candidate(channel_id=channel_id, base_url=base_url, **(given | fields))


@dataclass
class Router(router_pb2_grpc.RouterServiceServicer):
    """One router."""

    router_id: str = "r1"
    plans: dict[str, list[pb.Candidate]] = field(default_factory=dict)
    """Candidates by model; a model that is not here is unknown."""
    refuses: dict[str, Refused | pb.Refusal] = field(default_factory=dict)
    """What is said of a model instead."""
    deferred: set[str] = field(default_factory=set)
    """Models whose picks are decided later: when `release` is set."""
    state: pb.RouterState.ValueType = pb.ROUTER_STATE_SERVING
    peers: list[pb.GetRouterStatusResponse.Peer] = field(default_factory=list)
    hangs: bool = False
    """Takes messages and answers none."""
    breaks: bool = False
    """Ends the stream on the next message that holds a pick."""
    withholds_models: bool = False
    """Never says which models a key may use."""
    listings: int = 0
    """How often it was asked that."""
    picks: list[pb.Pick] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    """How many picks each message held."""
    outcomes: list[pb.Outcome] = field(default_factory=list)
    decision_id: str = "d1"
    widest: int = 64
    """Most candidates that may be asked for."""
    heeds_excluded: bool = True
    after_seen: dict[str, Refused] = field(default_factory=dict)
    """What is said of a model to who excludes channels."""
    release: asyncio.Event = field(default_factory=asyncio.Event)
    address: str = ""
    server: grpc.aio.Server = field(init=False)

    def forget(self, decision_id: str) -> None:
        """Begin anew, with decisions under another id."""
        self.decision_id = decision_id
        for kept in (self.plans, self.refuses, self.after_seen, self.deferred, self.picks, self.batches, self.outcomes):
            kept.clear()

    def decide(self, pick: pb.Pick) -> pb.PickChannelsResponse.Result:
        """Decide one pick."""
        result = pb.PickChannelsResponse.Result()
        seen = frozenset(pick.excluded_channel_ids if self.heeds_excluded else ())
        planned = [
            candidate
            for candidate in self.plans.get(pick.model, [])
            if pick.required_channel_id in (0, candidate.channel_id) and candidate.channel_id not in seen
        ]
        wide = pick.max_candidates > self.widest or len(pick.excluded_channel_ids) > MOST_EXCLUDED
        if pick.api_key not in API_KEYS:
            result.refusal.CopyFrom(refusal_of(ApiKeyUnknown(revision=REVISION)))
        elif pick.model in self.refuses:
            said = self.refuses[pick.model]
            result.refusal.CopyFrom(said if isinstance(said, pb.Refusal) else refusal_of(said))
        elif pick.model not in self.plans:
            result.refusal.CopyFrom(refusal_of(ModelUnknown(model=pick.model, revision=REVISION)))
        elif pick.excluded_channel_ids and pick.model in self.after_seen:
            result.refusal.CopyFrom(refusal_of(self.after_seen[pick.model]))
        elif wide:
            faults = [FieldFault("pick.max_candidates", f"is not within 1 and {self.widest}")]
            result.refusal.CopyFrom(refusal_of(InvalidFields(faults)))
        elif not planned:
            considered = len(self.plans[pick.model])
            refused = NoChannel(group="default", model=pick.model, revision=REVISION, considered=considered)
            result.refusal.CopyFrom(refusal_of(refused))
        else:
            plan = result.plan
            plan.decision_id, plan.group, plan.matched_model = self.decision_id, "default", pick.model
            plan.api_key_id = API_KEYS[pick.api_key]
            plan.token.revision = REVISION
            plan.candidates.extend(planned[: pick.max_candidates or DEFAULT_CANDIDATES])
            plan.degraded = self.state == pb.ROUTER_STATE_DEGRADED
            plan.snapshot_age.FromMilliseconds(2500)
        return result

    async def PickChannels(self, request_iterator: Any, context: Any) -> AsyncIterator[pb.PickChannelsResponse]:
        """Answer each message at once, and deferred picks when released."""
        async for request in request_iterator:
            self.batches.append(len(request.items))
            self.picks.extend(item.pick for item in request.items)
            if self.hangs:
                await asyncio.Event().wait()
            if self.breaks and request.items:
                self.breaks = False
                await context.abort(grpc.StatusCode.UNAVAILABLE, "broken on purpose")
            late = [item for item in request.items if item.pick.model in self.deferred]
            response = pb.PickChannelsResponse(answers_request=True, deferred_ids=[item.id for item in late])
            for item in request.items:
                if item not in late:
                    response.results.append(self._result(item))
            yield response
            if late:
                await self.release.wait()
                yield pb.PickChannelsResponse(results=[self._result(item) for item in late])

    def _result(self, item: pb.PickChannelsRequest.Item) -> pb.PickChannelsResponse.Result:
        result = self.decide(item.pick)
        result.id = item.id
        return result

    async def ReportOutcomes(self, request_iterator: Any, _context: Any) -> AsyncIterator[pb.ReportOutcomesResponse]:
        """Keep what is told."""
        async for request in request_iterator:
            self.outcomes.extend(request.outcomes)
            yield pb.ReportOutcomesResponse(accepted=len(request.outcomes))

    async def ListModels(self, request: pb.ListModelsRequest, _context: Any) -> pb.ListModelsResponse:
        """List what there are plans for."""
        self.listings += 1
        if self.withholds_models:
            await asyncio.Event().wait()
        if request.api_key != API_KEY:
            raise ApiKeyUnknown(revision=REVISION)
        names = sorted(self.plans)
        models = [pb.ListModelsResponse.Model(name=name, providers=["openai-compatible"]) for name in names]
        response = pb.ListModelsResponse(models=models)
        response.token.revision = REVISION
        return response

    async def GetRouterStatus(self, _request: pb.GetRouterStatusRequest, context: Any) -> pb.GetRouterStatusResponse:
        """Tell the state the test gave, and prove to be a router."""
        context.set_trailing_metadata(((auth.PROOF_NAME, auth.bound(TOKEN, auth.IS_ROUTER, self.address).reveal()),))
        if self.hangs:
            await asyncio.Event().wait()
        return pb.GetRouterStatusResponse(router_id=self.router_id, state=self.state, peers=self.peers)

    async def PickChannel(self, _request: pb.PickChannelRequest, context: Any) -> pb.PickChannelResponse:
        """Not what a relay calls."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)
        raise AssertionError

    async def ExplainPick(self, _request: pb.ExplainPickRequest, context: Any) -> pb.ExplainPickResponse:
        """Not what a relay calls."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)
        raise AssertionError

    async def Invalidate(self, _requests: Any, context: Any) -> AsyncIterator[pb.InvalidateResponse]:
        """Not what a relay calls."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)
        yield pb.InvalidateResponse()

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[Router]:
        """Serve on a port."""
        tokens = TokenTable({TOKEN: frozenset({PICK})})
        server = Server(Listen("127.0.0.1", port), tokens, SCOPES)
        router_pb2_grpc.add_RouterServiceServicer_to_server(self, server.grpc)
        await server.start()
        self.address, self.server = server.address, server.grpc
        tokens.grant(auth.bound(TOKEN, auth.TO_PICK, self.address), frozenset({PICK}))
        try:
            yield self
        finally:
            await server.grpc.stop(0)
