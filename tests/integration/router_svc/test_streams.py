"""The long-lived streams: batched picks, and invalidation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from prometheus_client import REGISTRY

from router_svc.desk import LONGEST_LIMIT
from tests.integration.router_svc.running import (
    ADMIN_TOKEN,
    Client,
    Database,
    RunningRouter,
    frozen,
    refusal_of,
)
from trunkline.errors import Code, Reason
from trunkline.v1 import error_reason_pb2, revision_pb2, router_pb2

PATIENCE = 5.0  # seconds that a test waits for a message

Result = router_pb2.PickChannelsResponse.Result


class PickStream:
    """One `PickChannels` stream as a relay uses it."""

    def __init__(self, client: Client) -> None:
        """Open the stream."""
        self.call: Any = client.stub.PickChannels(metadata=client.metadata)
        self._ids = iter(range(1, 1_000_000))
        self._early: dict[int, Result] = {}

    async def ask(self, *models: str, limit: float | None = None, **pick: Any) -> list[int]:
        """Send one message of picks for a group; give their ids."""
        request = router_pb2.PickChannelsRequest()
        for model in models:
            item = request.items.add(id=next(self._ids), pick=router_pb2.Pick(group="default", model=model, **pick))
            if limit is not None:
                item.time_limit.FromNanoseconds(round(limit * 1e9))
        await self.call.write(request)
        return [item.id for item in request.items]

    async def answer(self) -> router_pb2.PickChannelsResponse:
        """Receive the answer to a message, keeping deferred picks that come before it."""
        while not (answer := await self._read()).answers_request:
            self._early |= {result.id: result for result in answer.results}
        return answer

    async def deferred(self, count: int) -> dict[int, Result]:
        """Receive deferred picks until there are as many as expected."""
        results, self._early = self._early, {}
        while len(results) < count:
            answer = await self._read()
            assert not answer.answers_request
            results |= {result.id: result for result in answer.results}
        return results

    async def _read(self) -> router_pb2.PickChannelsResponse:
        async with asyncio.timeout(PATIENCE):
            answer = await self.call.read()
        assert isinstance(answer, router_pb2.PickChannelsResponse), answer
        return answer


def reason_of(result: Result) -> Reason:
    """The reason of a refused pick."""
    name = error_reason_pb2.ErrorReason.Name(result.refusal.reason)
    return Reason(name.removeprefix("ERROR_REASON_"))


@asynccontextmanager
async def invalidating(router: RunningRouter, *requests: router_pb2.InvalidateRequest) -> AsyncIterator[Any]:
    """An `Invalidate` stream as an admin uses it."""
    client = router.client(ADMIN_TOKEN)
    call = client.stub.Invalidate(metadata=client.metadata)
    for request in requests:
        await call.write(request)
    yield call
    call.cancel()


async def applied_on(call: Any, token: revision_pb2.RevisionToken) -> router_pb2.InvalidateResponse:
    """Read an invalidation stream until a state is applied."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await call.read()
            assert isinstance(answer, router_pb2.InvalidateResponse)
            if answer.applied == token:
                return answer


# ---------------------------------------------------------------------- PickChannels


async def test_a_message_is_answered_by_one_that_decides_or_defers_each_pick(
    client: Client, database: Database
) -> None:
    """Known models at once, unknown ones later, each by its id."""
    await database.channel("a", ["m"])
    await client.pick("m")
    stream = PickStream(client)
    known, unknown, at_fault = await stream.ask("m", "none", "")
    answer = await stream.answer()
    assert answer.answers_request
    assert {result.id for result in answer.results} == {known, at_fault}
    assert list(answer.deferred_ids) == [unknown]
    by_id = {result.id: result for result in answer.results}
    assert by_id[known].plan.candidates[0].key == "sk-upstream"
    assert reason_of(by_id[at_fault]) is Reason.INVALID_FIELDS
    result = (await stream.deferred(1))[unknown]
    assert (reason_of(result), result.refusal.code) == (Reason.MODEL_UNKNOWN, Code.NOT_FOUND)
    assert result.refusal.metadata["model"] == "none"


async def test_a_deferred_pick_becomes_a_plan_when_catching_up_finds_a_channel(
    client: Client, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was committed before the pick arrived serves it, though no hint came; it is counted, and logged."""
    stream = PickStream(client)
    saved = REGISTRY.get_sample_value("trunkline_router_retries_saved_total") or 0.0
    deferred = 0
    for number in range(5):
        await database.channel(f"c{number}", [f"m{number}"])
        [asked] = await stream.ask(f"m{number}")
        first = await stream.answer()
        deferred += len(first.deferred_ids)
        results = {result.id: result for result in first.results} or await stream.deferred(1)
        assert results[asked].plan.candidates[0].channel_name == f"c{number}"
    assert deferred, "a poll cannot have been quicker each time"
    assert REGISTRY.get_sample_value("trunkline_router_retries_saved_total") == saved + deferred
    assert capsys.readouterr().out.count("[CacheRetry]") == deferred


async def test_one_message_of_unknown_models_costs_one_proof(
    client: Client, router: RunningRouter, database: Database
) -> None:
    """A storm costs two head reads a round trip, however many picks are in it."""
    await database.channel("a", ["m"])
    await client.pick("m")
    streams = [PickStream(router.client()) for _ in range(4)]
    before = router.router.cache.follower._ticket
    for _ in range(5):
        for stream in streams:
            await stream.ask(*[f"none {number}" for number in range(200)])
        for stream in streams:
            answer = await stream.answer()  # what is read after another stream's proof began needs none of its own
            results = [*answer.results, *(await stream.deferred(len(answer.deferred_ids))).values()]
            assert len(results) == 200
            assert {reason_of(result) for result in results} == {Reason.MODEL_UNKNOWN}
    assert router.router.cache.follower._ticket - before <= 5 * 4 + 10


async def test_with_the_database_frozen_known_models_are_served_as_before(
    client: Client, router: RunningRouter, database: Database
) -> None:
    """Unknown ones wait their own time and are UNVERIFIED; nothing positive waits behind them."""
    await database.channel("a", ["m"])
    await client.pick("m", min_token=await database.token())
    positive, negative = PickStream(client), PickStream(router.client())
    async with frozen(database):
        await negative.ask(*[f"none {number}" for number in range(20)], limit=LONGEST_LIMIT)
        assert len((await negative.answer()).deferred_ids) == 20
        for _ in range(40):
            [known] = await positive.ask("m")
            answer = await positive.answer()
            assert [result.id for result in answer.results] == [known]
            assert (await client.pick("m")).candidates
        [brief] = await negative.ask("none", limit=0.2)
        assert (await negative.answer()).answers_request
        # The first that is deferred no longer: the others wait still, and nothing that was answered waited for them.
        results = await negative.deferred(1)
        assert set(results) == {brief}
        assert reason_of(results[brief]) is Reason.UNVERIFIED
        assert results[brief].refusal.HasField("retry_delay")
        refusal = await refusal_of(client.pick("none", limit=0.2))
        assert (refusal.reason, refusal.code, refusal.retry_delay) == (Reason.UNVERIFIED, Code.UNAVAILABLE, 1.0)
        stale = revision_pb2.RevisionToken(revision=10_000, chain="00")
        assert (await refusal_of(client.pick("m", limit=0.2, min_token=stale))).reason is Reason.STALE
    assert {reason_of(result) for result in (await negative.deferred(20)).values()} == {Reason.MODEL_UNKNOWN}
    assert (await refusal_of(client.pick("none"))).reason is Reason.MODEL_UNKNOWN


async def test_a_stream_holds_so_many_deferred_picks_and_no_more(client: Client, database: Database) -> None:
    """What is beyond is UNVERIFIED at once, and the stream goes on."""
    await database.channel("a", ["m"])
    await client.pick("m")
    stream = PickStream(client)
    async with frozen(database):
        await stream.ask(*[f"none {number}" for number in range(1000)], limit=LONGEST_LIMIT)
        assert len((await stream.answer()).deferred_ids) == 1000
        await stream.ask(*[f"none {number}" for number in range(100)], limit=LONGEST_LIMIT)
        answer = await stream.answer()
        assert len(answer.deferred_ids) == 24
        assert {reason_of(result) for result in answer.results} == {Reason.UNVERIFIED}
    await stream.deferred(1024)
    await stream.ask("none")
    assert len((await stream.answer()).deferred_ids) == 1
    assert len(await stream.deferred(1)) == 1


async def test_picks_of_one_stream_have_their_own_time_limits(client: Client, database: Database) -> None:
    """The impatient are answered first."""
    await database.channel("a", ["m"])
    await client.pick("m")
    stream = PickStream(client)
    async with frozen(database):
        [patient] = await stream.ask("none", limit=LONGEST_LIMIT)
        [impatient] = await stream.ask("none", limit=0.1)
        await stream.answer()
        await stream.answer()
        assert set(await stream.deferred(1)) == {impatient}
    assert set(await stream.deferred(1)) == {patient}, "once the database is back"


async def test_picks_of_one_message_have_their_own_time_limits(client: Client, database: Database) -> None:
    """What came together is not answered together, when one of them can wait longer."""
    await database.channel("a", ["m"])
    await client.pick("m")
    stream = PickStream(client)
    request = router_pb2.PickChannelsRequest()
    for number, milliseconds in ((1, int(LONGEST_LIMIT * 1000)), (2, 100)):
        item = request.items.add(id=number, pick=router_pb2.Pick(group="default", model="none"))
        item.time_limit.FromMilliseconds(milliseconds)
    async with frozen(database):
        await stream.call.write(request)
        await stream.answer()
        early = await stream.deferred(1)
        assert set(early) == {2}
        assert reason_of(early[2]) is Reason.UNVERIFIED
    assert reason_of((await stream.deferred(1))[1]) is Reason.MODEL_UNKNOWN, "the database is back in its time"


# ---------------------------------------------------------------------- Invalidate


async def test_the_router_speaks_first_and_answers_each_message(router: RunningRouter, database: Database) -> None:
    """Who it is, what is in force, and how far it can be trusted."""
    token = await database.token()
    async with invalidating(router) as call:
        first = await applied_on(call, token)
        assert first.router_id == router.router.cache.presence.who.id  # type: ignore[union-attr]
        assert first.state == router_pb2.ROUTER_STATE_SERVING
        assert first.digest == str(int(first.digest))
        await call.write(router_pb2.InvalidateRequest(admin_id="an admin"))
        assert (await applied_on(call, token)).incarnation == first.incarnation


async def test_a_hint_makes_a_change_be_in_force_at_once(router: RunningRouter, database: Database) -> None:
    """Told after it was applied; from then on every pick decides by it. There is no poll to wait for."""
    channel_id = await database.channel("a", ["m"])
    client = router.client()
    router.router.cache.follower._poll = 3_600.0
    async with invalidating(router) as call:
        for number in range(20):
            status = "DISABLED" if number % 2 == 0 else "ENABLED"
            await database.run("UPDATE channels SET status = %s WHERE id = %s", status, channel_id)
            token = await database.token()
            await call.write(router_pb2.InvalidateRequest(admin_id="an admin", head=token))
            await applied_on(call, token)
            if status == "ENABLED":
                assert (await client.pick("m")).token == token
            else:
                assert (await refusal_of(client.pick("m"))).reason is Reason.NO_CHANNEL


async def test_an_empty_call_means_catch_up_now(router: RunningRouter, database: Database) -> None:
    """Half-closed without a head, it ends once the head of that moment is in force."""
    await database.channel("a", ["m"])
    token = await database.token()
    for requests in ([], [router_pb2.InvalidateRequest()]):
        async with invalidating(router, *requests) as call:
            await call.done_writing()
            answers = [answer async for answer in call]
            assert answers[-1].applied == token
            assert await call.code() == grpc.StatusCode.OK


async def test_a_call_that_named_a_head_ends_when_its_caller_does(router: RunningRouter, database: Database) -> None:
    """An admin that leaves waits for nothing."""
    async with invalidating(router, router_pb2.InvalidateRequest(head=await database.token())) as call:
        await call.done_writing()
        assert [answer async for answer in call]
        assert await call.code() == grpc.StatusCode.OK


async def test_catching_up_by_hand_says_when_it_cannot(router: RunningRouter, database: Database) -> None:
    """With the database frozen: UNVERIFIED in bounded time, not an old revision."""
    async with frozen(database), invalidating(router) as call:
        await call.done_writing()

        async def all_answers() -> list[Any]:
            return [answer async for answer in call]

        assert (await refusal_of(all_answers())).reason is Reason.UNVERIFIED


async def test_only_those_who_may_invalidate_do(router: RunningRouter) -> None:
    """A relay's token is not an admin's."""
    client = router.client()
    call = client.stub.Invalidate(metadata=client.metadata)

    async def first() -> Any:
        return await call.read()

    assert (await refusal_of(first())).reason is Reason.SCOPE_MISSING


# ---------------------------------------------------------------------- all of them


async def test_a_caller_that_leaves_while_it_is_answered_is_no_error(
    client: Client, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """Relays come and go in the midst of a message: nothing is reported, and the router serves on."""
    await database.channel("a", ["m"])
    await client.pick("m")
    pick = router_pb2.Pick(group="default", model="m")
    picks = router_pb2.PickChannelsRequest(items=[router_pb2.PickChannelsRequest.Item(id=1, pick=pick)] * 50)
    outcome = router_pb2.Outcome(channel_id=7, result=router_pb2.OUTCOME_RESULT_SUCCESS)
    outcomes = router_pb2.ReportOutcomesRequest(outcomes=[outcome] * 200)
    for number in range(200):
        for method, message in ((client.stub.PickChannels, picks), (client.stub.ReportOutcomes, outcomes)):
            call: Any = method(metadata=client.metadata)
            for _ in range(1 + number % 3):
                await call.write(message)
            call.cancel()
    await client.pick("m")
    assert "call failed" not in "".join(capsys.readouterr())
