"""Clients that pick all the time, from every router, and write down what they were told.

The law: `sent` is read before a pick leaves and `received` after its answer came, so the truth lies in between. A client
never hides trouble: a pick whose connection broke or whose deadline passed is an answer too. Picks prefer what is being
changed just now, since there the answers are hardest.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import grpc

from prove.checks import WANTED
from prove.cluster import SERVICE_TOKEN
from prove.history import Token
from prove.records import NO_ANSWER, Answer, PlanRead
from prove.truth import PLAN, Ask
from prove.waiting import until
from trunkline.rpc import dial, read_error, read_refusal
from trunkline.v1 import revision_pb2, router_pb2, router_pb2_grpc

TURN: Final = 0.02
"""Seconds between two messages on a stream."""
_MOST: Final = 256  # picks of one message
_OWED: Final = 2_000  # picks without an answer past which a client waits
_COME_BACK: Final = 0.1  # seconds until a stream that broke is dialled again
_DEADLINE: Final = 4.0  # seconds of a unary call
_NOWHERE: Final = Token(-1, "")


class Asked:
    """What to ask for: every pair and API key there may be, and those that are being changed now."""

    def __init__(self, rng: random.Random, *, share_of_hot: float = 0.45, share_with_token: float = 0.1) -> None:
        """Take randomness, and how much goes to what is being changed, and how much carries a token."""
        self._rng = rng
        self._share_of_hot = share_of_hot
        self._share_with_token = share_with_token
        self.asks: list[tuple[Ask, router_pb2.Pick]] = []
        self.hot: dict[Ask, router_pb2.Pick] = {}
        """What is being changed, or was a moment ago."""
        self._hot_list: list[tuple[Ask, router_pb2.Pick]] = []
        self.served: dict[Ask, router_pb2.Pick] = {}
        """What somebody serves, as far as was last seen."""
        self.tokens: list[Token] = []
        """Tokens of changes acknowledged, the newest last; a lost one may be among them for a while."""

    def heat(self, asks: Sequence[tuple[Ask, router_pb2.Pick]]) -> None:
        """Ask for these more often."""
        self.hot.update(asks)
        self._hot_list = list(self.hot.items())

    def cool(self, asks: Sequence[tuple[Ask, router_pb2.Pick]]) -> None:
        """Ask for these as for any other."""
        for ask, _ in asks:
            self.hot.pop(ask, None)
        self._hot_list = list(self.hot.items())

    def draw_served(self) -> tuple[Ask, router_pb2.Pick, Token | None] | None:
        """Draw what is answered from memory, so that the router gets no reason to look at the database."""
        hot = [way for way in self._hot_list if way[0] in self.served]
        if hot and self._rng.random() < self._share_of_hot:
            return *self._rng.choice(hot), None
        return (*self._rng.choice(list(self.served.items())), None) if self.served else None

    def draw(self) -> tuple[Ask, router_pb2.Pick, Token | None]:
        """Draw what to ask for next."""
        rng = self._rng
        among = self._hot_list if self._hot_list and rng.random() < self._share_of_hot else self.asks
        ask, pick = among[int(rng.random() * len(among))]
        token = self.tokens[-1] if self.tokens and rng.random() < self._share_with_token else None
        return ask, pick, token


class Router:
    """The clients of one router: one stream, and some who call for themselves."""

    def __init__(self, name: str, address: str, asked: Asked, answers: list[Answer]) -> None:
        """Take whom to ask, what to ask for, and where to write answers down."""
        self.name = name
        self._address = address
        self._asked = asked
        self._answers = answers
        self._ids = itertools.count(1)
        self._owed: dict[int, tuple[Ask, float, Token | None]] = {}
        self._plans: dict[PlanRead, PlanRead] = {}
        self.rate = 0.0
        """Picks a second on the stream."""
        self.quiet = False
        """Whether to ask only for what can be answered from memory: a router that must prove nothing shows how old it is."""

    async def stream(self, stop: asyncio.Event) -> None:
        """Pick on a stream until `stop`, coming back whenever it breaks; then wait for what is owed."""
        while not stop.is_set():
            dialled = dial(self._address, SERVICE_TOKEN)
            try:
                call = router_pb2_grpc.RouterServiceStub(dialled.channel).PickChannels(metadata=dialled.metadata)
                await self._talk(call, stop)
            except* (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError) as group:
                self._give_up(_said(group))
                await asyncio.sleep(_COME_BACK)
            finally:
                await dialled.channel.close()

    async def calls(self, stop: asyncio.Event, pause: float) -> None:
        """Call for oneself, always reading one's own writes, until `stop`; `pause` seconds between calls."""
        dialled = dial(self._address, SERVICE_TOKEN)
        stub = router_pb2_grpc.RouterServiceStub(dialled.channel)
        try:
            while not stop.is_set():
                if not self.quiet:
                    ask, pick, _ = self._asked.draw()
                    token = self._asked.tokens[-1] if self._asked.tokens else None
                    await self.call(stub, dialled.metadata, ask, pick, token)
                await asyncio.sleep(pause)
        finally:
            await dialled.channel.close()

    async def call(self, stub: Any, metadata: Any, ask: Ask, pick: router_pb2.Pick, token: Token | None) -> Answer:
        """Make one call and write down what came of it."""
        request = router_pb2.PickChannelRequest(pick=pick)
        if token is not None:
            request.pick.min_token.CopyFrom(revision_pb2.RevisionToken(revision=token.revision, chain=token.chain))
        sent = time.time()
        try:
            # Waits for the connection, or its own back-off would be taken for the router's.
            response = await stub.PickChannel(request, metadata=metadata, timeout=_DEADLINE, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            refusal = read_error(error)
            reason = refusal.reason or NO_ANSWER + error.code().name
            named = Token(int(refusal.metadata.get("revision", -1)), "")
            answer = self._refused(ask, sent, str(reason), named, token, unary=True)
        else:
            answer = self._planned(ask, sent, token, response.plan, unary=True)
        self._answers.append(answer)
        return answer

    # ------------------------------------------------------------------ the stream

    async def _talk(self, call: Any, stop: asyncio.Event) -> None:
        free = asyncio.Event()
        free.set()
        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(self._hear(call, free))
            try:
                while not stop.is_set():
                    await self._turn(call, free)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_DEADLINE):
                        await until(lambda: not self._owed, TURN)
            finally:
                hearing.cancel()
                call.cancel()
        self._give_up("STOPPED")

    async def _turn(self, call: Any, free: asyncio.Event) -> None:
        """Send one message of picks, unless the last one is not answered yet or too much is owed."""
        begun = time.monotonic()
        count = min(_MOST, max(1, round(self.rate * TURN)))
        if free.is_set() and len(self._owed) + count <= _OWED:
            free.clear()
            await call.write(router_pb2.PickChannelsRequest(items=[self._item() for _ in range(count)]))
        elif call.done():
            raise asyncio.InvalidStateError
        await asyncio.sleep(max(0.001, TURN - (time.monotonic() - begun)))

    def _item(self) -> router_pb2.PickChannelsRequest.Item:
        ask, pick, token = (self._asked.draw_served() if self.quiet else None) or self._asked.draw()
        number = next(self._ids)
        item = router_pb2.PickChannelsRequest.Item(id=number, pick=pick)
        if token is not None:
            item.pick.min_token.CopyFrom(revision_pb2.RevisionToken(revision=token.revision, chain=token.chain))
        self._owed[number] = (ask, time.time(), token)
        return item

    async def _hear(self, call: Any, free: asyncio.Event) -> None:
        async for message in _messages(call):
            for result in message.results:
                owed = self._owed.pop(result.id, None)
                if owed is not None:
                    self._answers.append(self._read(result, *owed))
            if message.answers_request:
                free.set()
        raise asyncio.InvalidStateError

    def _read(
        self, result: router_pb2.PickChannelsResponse.Result, ask: Ask, sent: float, token: Token | None
    ) -> Answer:
        if result.WhichOneof("decision") == "plan":
            return self._planned(ask, sent, token, result.plan, unary=False)
        refusal = read_refusal(result.refusal)
        named = Token(int(refusal.metadata.get("revision", -1)), "")
        return self._refused(ask, sent, str(refusal.reason), named, token, unary=False)

    def _refused(self, ask: Ask, sent: float, reason: str, named: Token, token: Token | None, *, unary: bool) -> Answer:
        return Answer(
            self.name, ask, sent, time.time(), reason, named, marked=False, min_token=token, plan=None, unary=unary
        )

    def _planned(self, ask: Ask, sent: float, token: Token | None, plan: router_pb2.Plan, *, unary: bool) -> Answer:
        read = PlanRead(
            plan.group,
            tuple([(c.channel_id, c.key_id, c.priority, c.upstream_model) for c in plan.candidates]),
        )
        read = self._plans.setdefault(read, read)
        named = Token(plan.token.revision, plan.token.chain)
        return Answer(self.name, ask, sent, time.time(), PLAN, named, plan.degraded, token, read, unary)

    def _give_up(self, why: str) -> None:
        """Write down what was never answered."""
        for ask, sent, token in self._owed.values():
            self._answers.append(self._refused(ask, sent, NO_ANSWER + why, _NOWHERE, token, unary=False))
        self._owed.clear()


async def _messages(call: Any) -> AsyncIterator[router_pb2.PickChannelsResponse]:
    while True:
        message = await call.read()
        if not isinstance(message, router_pb2.PickChannelsResponse):
            return
        yield message


def _said(group: BaseExceptionGroup[BaseException]) -> str:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return _said(error)
        if isinstance(error, grpc.aio.AioRpcError):
            return str(error.code().name)
    return "BROKEN"


def pick_of(ask: Ask, secret: str = "") -> router_pb2.Pick:
    """Write an ask as a pick."""
    pick = router_pb2.Pick(model=ask.model, client_address=ask.address, max_candidates=WANTED)
    if ask.key_hash:
        pick.api_key = secret
    else:
        pick.group = ask.group
    return pick
