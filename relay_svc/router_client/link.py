"""One router: its connection, its state, and its return after a loss.

The law: a link is up from the router's first answers (a status, and an empty message on the pick stream) until anything on
it breaks; then everything asked of it fails at once and it is dialled anew, with growing, jittered pauses. A router that
hangs is a router lost: its status is asked for at intervals, each time with a deadline.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import grpc

from relay_svc import metrics
from relay_svc.plan import Models
from relay_svc.router_client.call import Call, CallEnded, Hear, Peer, open_call
from relay_svc.router_client.outcomes import OutcomeStream
from relay_svc.router_client.picks import Answer, PickStream, StreamBroke
from relay_svc.router_client.wire import models_from, refused_from
from trunkline import auth
from trunkline.rpc import PlaintextDialError, dial, read_error
from trunkline.secret import Secret
from trunkline.service_settings import Tls
from trunkline.telemetry import get_logger
from trunkline.v1 import router_pb2 as pb
from trunkline.v1 import router_pb2_grpc

log = get_logger()


class Unproven(Exception):  # noqa: N818 - a state: whoever answers is not asked
    """Whoever answers at an address that was named has not shown that it is a router."""


_LOST: Final = (
    *(grpc.aio.AioRpcError, CallEnded, PlaintextDialError, Unproven),
    *(TimeoutError, EOFError, asyncio.InvalidStateError),
)
"""How a connection to a router ends; the last is what grpc says of writing to a call that is over."""
_PICKS: Final = "/trunkline.v1.RouterService/PickChannels"
BUSY: Final = 256
"""Picks in flight at which a router is busy, and another is asked as well."""
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What every link is given. Times in seconds."""

    token: Secret
    tls: Tls | None = None
    answer_limit: float = 2.0
    """Longest wait for the answer to a message or a status call."""
    status_interval: float = 2.0
    outcome_bound: int = 8192


class Standing(IntEnum):
    """How gladly a router is asked: least first."""

    SERVING = 0
    DEGRADED = 1
    NOT_SERVING = 2
    """Starting or draining: asked only when there is no other."""
    DOWN = 3


_STANDING: Final = {
    pb.ROUTER_STATE_SERVING: Standing.SERVING,
    pb.ROUTER_STATE_DEGRADED: Standing.DEGRADED,
}


class Link:
    """One router."""

    def __init__(
        self, address: str, settings: LinkSettings, changed: Callable[["Link"], None], *, named: bool = False
    ) -> None:
        """Take the router's address; `changed` is called whenever its standing, its id or its peers may have changed.

        `named`: by another router, which read it in a row. Whoever answers there is shown a token that is good there alone,
        and must prove to be a router before it hears of any pick.
        """
        self.address = address
        self._proof: Secret | None = None
        self._token = settings.token
        if named:
            self._token = auth.bound(settings.token, auth.TO_PICK, address)
            self._proof = auth.bound(settings.token, auth.IS_ROUTER, address)
        self.router_id = ""
        self.peers: dict[str, str] = {}
        """Addresses of the routers that this one names, by id."""
        self.turn = random.random()  # noqa: S311 - spreads relays over routers, guards nothing
        """Which of equal links is asked first: drawn once, so that a relay's picks go together and relays go apart."""
        self._standing = Standing.DOWN
        self.outcomes = OutcomeStream(settings.outcome_bound, settings.answer_limit)
        self._settings = settings
        self._changed = changed
        self._picks = PickStream(address, settings.answer_limit)
        self._stub: Any = None
        self._metadata: tuple[tuple[str, str], ...] = ()

    @property
    def standing(self) -> Standing:
        """How gladly to ask here; DOWN from the moment the pick stream broke."""
        if self._picks.broken:
            return Standing.DOWN
        # A plan tells that its router is degraded sooner than the next status would.
        return max(self._standing, Standing.DEGRADED) if self._picks.degraded else self._standing

    @property
    def late(self) -> bool:
        """Whether it has kept a message waiting for longer than a router ever should."""
        return self._picks.late

    @property
    def in_flight(self) -> int:
        """How many picks wait here."""
        return self._picks.in_flight

    @property
    def free(self) -> bool:
        """Whether none can be better to ask: it serves, and is neither late nor busy."""
        picks = self._picks
        serves = self._standing is Standing.SERVING and not picks.broken and not picks.degraded
        return serves and picks.in_flight < BUSY and not picks.late

    def ask(self, pick: bytes, time_limit: float, deadline: float) -> Answer:
        """Ask one pick, see `PickStream.ask`. Raises StreamBroke."""
        return self._picks.ask(pick, time_limit, deadline)

    async def models(self, api_key: Secret, client_address: str, time_limit: float) -> Models:
        """List a key's models. Raises PickRefused, StreamBroke."""
        if self._stub is None:
            raise StreamBroke
        request = pb.ListModelsRequest(api_key=api_key.reveal(), client_address=client_address)
        try:
            return models_from(await self._stub.ListModels(request, metadata=self._metadata, timeout=time_limit))
        except grpc.aio.AioRpcError as error:
            refusal = read_error(error)
            if refusal.reason is None:
                raise StreamBroke from None
            raise refused_from(refusal) from None

    async def run(self) -> None:
        """Keep the link up, until cancelled."""
        pause = _FIRST_PAUSE
        said = ""
        while True:
            was_up = False
            try:
                await self._live()
            except* _LOST as lost:
                was_up = self._standing is not Standing.DOWN
                fault = _fault(lost)
                if was_up or fault != said:  # not once a try
                    log.warning("router lost" if was_up else "router not reached", router=self.address, fault=fault)
                said = fault
            finally:
                self._stub = None
                self._stand(Standing.DOWN)
            _heed_cancellation()  # not within `except*`, which would wrap it in a group that nobody takes for one
            pause = _FIRST_PAUSE if was_up else min(pause * 2, _LONGEST_PAUSE)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads returns, guards nothing

    async def _live(self) -> None:
        dialled = dial(self.address, self._token, self._settings.tls)
        try:
            stub: Any = router_pb2_grpc.RouterServiceStub(dialled.channel)
            self._metadata = dialled.metadata
            standing = await self._status(stub)
            self._picks = PickStream(self.address, self._settings.answer_limit)

            def opened() -> None:
                self._stub = stub
                self._stand(standing)

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._picks.run(self._picks_call, opened))
                tasks.create_task(self.outcomes.run(stub.ReportOutcomes(metadata=dialled.metadata)))
                await self._watch(stub)  # here, not in a task: see `_heed_cancellation`
        finally:
            await dialled.channel.close()

    async def _picks_call(self, hear: Hear) -> Call:
        return await open_call(Peer(self.address, self._token, self._settings.tls), _PICKS, hear)

    async def _watch(self, stub: Any) -> None:
        while True:
            await asyncio.sleep(self._settings.status_interval * random.uniform(0.8, 1.2))  # noqa: S311 - as above
            standing = await self._status(stub)
            if self._stub is not None:
                self._stand(standing)

    async def _status(self, stub: Any) -> Standing:
        call = stub.GetRouterStatus(
            pb.GetRouterStatusRequest(), metadata=self._metadata, timeout=self._settings.answer_limit
        )
        status = await call
        if self._proof is not None and not _proves(await call.trailing_metadata(), self._proof):
            raise Unproven
        self.router_id = status.router_id
        self.peers = {peer.router_id: peer.address for peer in status.peers if peer.address}
        return _STANDING.get(status.state, Standing.NOT_SERVING)

    def _stand(self, standing: Standing) -> None:
        self._standing, self._picks.degraded = standing, False
        metrics.ROUTER_UP.labels(self.address).set(standing is not Standing.DOWN)
        self._changed(self)


def _proves(metadata: Iterable[tuple[str, str | bytes]], proof: Secret) -> bool:
    return any(
        name == auth.PROOF_NAME and isinstance(value, str) and Secret(value) == proof for name, value in metadata
    )


def _heed_cancellation() -> None:
    """Raise the cancellation that a TaskGroup before Python 3.13 drops when one of its children fails at the same time.

    It leaves the task's count of cancellations right only if the child failed while the group's own body was running.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _fault(group: BaseExceptionGroup[BaseException]) -> str:
    first = group.exceptions[0]
    if isinstance(first, BaseExceptionGroup):
        return _fault(first)
    if isinstance(first, grpc.aio.AioRpcError):
        return f"{first.code().name}: {first.details()}"
    if isinstance(first, Unproven):
        return "whoever answers there does not prove to be a router: another service token, or none of ours"
    if isinstance(first, CallEnded | PlaintextDialError):
        return str(first)
    return type(first).__name__
