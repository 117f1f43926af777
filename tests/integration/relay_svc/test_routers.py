"""The relay and its routers: spread, lost, slow, degraded, found."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from relay_svc.plan import NO_SHAPING, Asked, Outcome, PickRefused, PicksOverloaded, Result, RoutersUnreachable, Shaping
from relay_svc.router_client import LinkSettings, RouterClient
from relay_svc.router_client.link import BUSY
from tests.harness.ports import free_port
from tests.harness.waiting import PATIENCE, eventually_async, turns
from tests.integration.relay_svc.conftest import CHAT, running_relay
from tests.integration.relay_svc.routers import API_KEY, TOKEN, Router, candidate
from tests.integration.relay_svc.upstreams import Upstream, answers
from trunkline.errors import Cause, NoChannel, NotReady, Unverified
from trunkline.rpc import refusal_of
from trunkline.secret import Secret
from trunkline.v1 import router_pb2 as pb

SETTINGS = LinkSettings(TOKEN, answer_limit=0.3, status_interval=0.1)
PLAN = [candidate(1, "http://127.0.0.1:1/v1")]


def asked(model: str = "m", api_key: str = API_KEY) -> Asked:
    """A pick."""
    return Asked(Secret(api_key), model, "127.0.0.1", 3)


def soon(seconds: float = 5.0) -> float:
    """A deadline."""
    return asyncio.get_running_loop().time() + seconds


@contextlib.asynccontextmanager
async def client_of(
    *routers: Router | str, max_waiting: int = 4096, settings: LinkSettings = SETTINGS
) -> AsyncIterator[RouterClient]:
    """A router client with links to routers, ready."""
    addresses = [router if isinstance(router, str) else router.address for router in routers]
    client = RouterClient(addresses, settings, max_waiting=max_waiting)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(client.run(lambda: None))
        await eventually_async(lambda: sum(link.standing < 3 for link in client._links.values()) >= len(addresses))
        yield client
        running.cancel()


async def together(count: int, ask: Callable[[], Awaitable[object]]) -> list[object]:
    """Ask many times in one turn of the event loop."""

    async def one() -> object:
        return await ask()

    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(one()) for _ in range(count)]
    return [task.result() for task in asking]


async def test_a_plan_comes_back_whole() -> None:
    """Everything an attempt needs survives the wire."""
    router = Router(
        plans={"m": [candidate(3, "http://up/v1", header_overrides={"a": "b"}, parameter_overrides_json="{}")]}
    )
    router.plans["m"][0].timeouts.connect.FromMilliseconds(1500)
    async with router.serving(), client_of(router) as client:
        plan = await client.pick(asked(), soon())
    (got,) = plan.candidates
    assert (plan.router, plan.decision_id, plan.revision, plan.api_key_id) == (router.address, "d1", 7, 5)
    assert (got.channel_id, got.key_id, got.base_url, got.upstream_model) == (3, 30, "http://up/v1", "m")
    assert got.key == Secret("sk-channel-3")
    assert "sk-channel-3" not in repr(plan)
    assert (got.header_overrides, got.parameter_overrides, got.limits.connect, got.limits.idle) == (
        {"a": "b"},
        "{}",
        1.5,
        None,
    )
    (pick,) = router.picks
    assert (pick.client_address, pick.max_candidates) == ("127.0.0.1", 3)


async def test_a_shaping_comes_back_whole_and_shows_no_secret() -> None:
    """Most channels have none: they share the one that shapes nothing."""
    router = Router(plans={"m": [candidate(3, "http://up/v1"), candidate(4, "http://up/v1")]})
    router.plans["m"][1].shaping.MergeFrom(
        pb.Shaping(
            provider_options={"bot_id": "1"},
            removed_headers=["x-a"],
            system_prompt="be kind",
            system_prompt_mode=pb.SYSTEM_PROMPT_MODE_PREPEND,
            status_mapping={429: 503},
            proxy_url="http://u:s3cret@proxy",
            strict=True,
            repeat_after_timeout=True,
        )
    )
    async with router.serving(), client_of(router) as client:
        plan = await client.pick(asked(), soon())
    plain, shaped = plan.candidates
    assert plain.shaping is NO_SHAPING
    assert not plain.repeat_after_timeout
    assert shaped.shaping == Shaping(
        provider_options={"bot_id": "1"},
        removed_headers=frozenset({"x-a"}),
        system_prompt="be kind",
        prepends_prompt=True,
        status_mapping={429: 503},
        proxy=Secret("http://u:s3cret@proxy"),
        strict=True,
        repeat_after_timeout=True,
    )
    assert shaped.repeat_after_timeout
    assert "s3cret" not in repr(plan)


async def test_picks_of_one_turn_travel_in_one_message() -> None:
    """Past a message's bound, in as few as there must be; one in flight."""
    router = Router(plans={"m": PLAN})
    async with router.serving(), client_of(router) as client:
        await together(50, lambda: client.pick(asked(), soon()))
        await together(600, lambda: client.pick(asked(), soon()))
    assert [size for size in router.batches if size] == [50, 256, 256, 88]


async def test_a_deferred_pick_holds_up_no_other() -> None:
    """Whatever must wait waits on its own; its answer comes by id."""
    router = Router(plans={"m": PLAN, "slow": PLAN}, deferred={"slow"})
    async with router.serving(), client_of(router) as client, asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(client.pick(asked("slow"), soon()))
        await eventually_async(lambda: any(pick.model == "slow" for pick in router.picks))
        assert (await client.pick(asked(), soon())).candidates
        assert not slow.done()
        router.release.set()
    assert slow.result().matched_model == "slow"


async def test_a_flat_refusal_is_final() -> None:
    """A proven no is not asked for again."""
    one, two = (Router(name, refuses={"m": NoChannel(model="m", group="g", revision=7, considered=1)}) for name in "ab")
    async with one.serving(), two.serving(), client_of(one, two) as client:
        with pytest.raises(PickRefused) as caught:
            await client.pick(asked(), soon())
    assert caught.value.reason == "NO_CHANNEL"
    assert caught.value.metadata["considered"] == "1"
    assert len(one.picks) + len(two.picks) == 1


async def test_a_reason_unknown_here_is_asked_of_one_other_and_ends_in_a_refusal() -> None:
    """As while routers are upgraded and this relay is not yet."""
    newer = pb.Refusal(code=5, reason=cast("Any", 9_999), message="gone")
    one, two = Router("a", plans={"m": PLAN}, refuses={"m": newer, "n": newer}), Router("b", plans={"m": PLAN})
    two.refuses["n"] = newer
    async with one.serving(), two.serving(), client_of(one, two) as client:
        for _ in range(5):
            assert (await client.pick(asked(), soon())).router == two.address
        with pytest.raises(PickRefused, match="gone") as caught:
            await client.pick(asked("n"), soon())
    assert caught.value.reason is None


async def test_the_log_has_the_words_of_a_refusal_that_no_client_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    """Under the request id that the client is told."""
    router = Router(refuses={"m": pb.Refusal(code=5, reason=cast("Any", 9_999), message="between us")})
    async with router.serving(), running_relay(router.address) as relay, relay.http() as http:
        answer = await http.post(CHAT, json={"model": "m", "messages": []})
    assert (answer.status_code, answer.json()["error"]["reason"]) == (500, "INTERNAL")
    assert "between us" not in answer.text
    (line,) = (line for line in "".join(capfd.readouterr()).splitlines() if "between us" in line)
    assert answer.headers["x-request-id"] in line


@pytest.mark.parametrize(
    "refused", [Unverified(cause=Cause.DATABASE_SLOW), NotReady()], ids=["unverified", "not ready"]
)
async def test_what_one_router_cannot_say_is_asked_of_one_other(refused: Unverified | NotReady) -> None:
    """And only when that one cannot either is the client told to come again."""
    one = Router("a", plans={"m": PLAN}, refuses={"m": refused, "n": refused})
    two = Router("b", plans={"m": PLAN}, refuses={"n": refused})
    async with one.serving(), two.serving(), client_of(one, two) as client:
        for _ in range(5):
            assert (await client.pick(asked(), soon())).router == two.address
        with pytest.raises(PickRefused) as caught:
            await client.pick(asked("n"), soon())
    assert caught.value.reason == refused.reason
    assert caught.value.retry_delay == 1


async def test_few_picks_go_together_and_many_are_spread() -> None:
    """One router is asked until it is busy: a message costs more than what is in it."""
    routers = [Router(name, plans={"m": PLAN}) for name in "abc"]
    async with contextlib.AsyncExitStack() as stack:
        for router in routers:
            await stack.enter_async_context(router.serving())
        async with client_of(*routers) as client:
            for _ in range(20):
                await client.pick(asked(), soon())
            assert sorted(len(router.picks) for router in routers) == [0, 0, 20]
            for router in routers:
                router.picks.clear()
            await together(5 * BUSY, lambda: client.pick(asked(), soon()))
    assert sorted(len(router.picks) for router in routers) == [BUSY, 2 * BUSY, 2 * BUSY]


async def test_a_router_that_keeps_a_message_waiting_is_passed_over_before_it_is_given_up() -> None:
    """Only what it was asked already waits for it."""
    one, two = Router("a", plans={"m": PLAN}), Router("b", plans={"m": PLAN})
    patient = LinkSettings(TOKEN, answer_limit=5.0)
    async with (
        one.serving(),
        two.serving(),
        client_of(one, two, settings=patient) as client,
        asyncio.TaskGroup() as tasks,
    ):
        asked_first = (await client.pick(asked(), soon())).router
        hung, other = (one, two) if asked_first == one.address else (two, one)
        hung.hangs = True
        stuck = tasks.create_task(client.pick(asked(), soon(20.0)))
        loop = asyncio.get_running_loop()

        async def passed_over() -> bool:
            try:
                return (await client.pick(asked(), loop.time() + 0.2)).router == other.address
            except RoutersUnreachable:
                return False

        await eventually_async(passed_over)
        assert not stuck.done()
        assert (await stuck).router == other.address


async def test_a_degraded_router_is_asked_last() -> None:
    """Only when no other is up; and its plan says that it is degraded."""
    good = Router("a", plans={"m": PLAN})
    stale = Router("b", plans={"m": PLAN}, state=pb.ROUTER_STATE_DEGRADED)
    async with stale.serving():
        async with client_of(stale) as client:
            assert client.ready
            plan = await client.pick(asked(), soon())
            assert (plan.degraded, plan.snapshot_age) == (True, 2.5)
        stale.picks.clear()
        async with good.serving(), client_of(good, stale) as client:
            await together(20, lambda: client.pick(asked(), soon()))
    assert (len(good.picks), len(stale.picks)) == (20, 0)


async def test_a_router_that_dies_in_the_middle_of_a_batch_loses_no_pick() -> None:
    """What it left unanswered is asked elsewhere."""
    one, two = Router("a", plans={"m": PLAN}, breaks=True), Router("b", plans={"m": PLAN}, breaks=True)
    async with one.serving(), two.serving(), client_of(one, two) as client:
        plans = await together(100, lambda: client.pick(asked(), soon()))
    assert len(plans) == 100


async def test_a_lone_router_that_breaks_is_waited_for_until_the_deadline() -> None:
    """A router that restarts costs a client time, not an error."""
    port = free_port()
    router = Router(plans={"m": PLAN})
    async with router.serving(port), client_of(router) as client:
        await client.pick(asked(), soon())
        router.breaks = True
        await client.pick(asked(), soon())
        assert len(router.picks) == 3


async def test_a_router_that_restarts_is_found_again() -> None:
    """On its port, with what waited for it."""
    port = free_port()
    async with Router("a", plans={"m": PLAN}).serving(port) as first, client_of(first) as client:
        await client.pick(asked(), soon())
        async with asyncio.TaskGroup() as tasks:
            await first.server.stop(0)
            waiting = tasks.create_task(client.pick(asked(), soon()))
            async with Router("a", plans={"m": PLAN}).serving(port) as second:
                await waiting
                assert len(second.picks) == 1


async def test_a_relay_that_ends_while_its_routers_die_does_end() -> None:
    """Neither end may swallow the other: a cancelled link stays cancelled."""
    for turn in range(10):
        router = Router("a", plans={"m": PLAN})
        async with asyncio.timeout(PATIENCE), router.serving(), asyncio.TaskGroup() as tasks:
            client = RouterClient([router.address], SETTINGS, max_waiting=10)
            running = tasks.create_task(client.run(lambda: None))
            await client.pick(asked(), soon())
            stopping = tasks.create_task(router.server.stop(0))
            await turns(turn)
            running.cancel()
            await stopping


async def test_a_router_that_hangs_is_passed_over() -> None:
    """A message unanswered within the limit breaks the stream; its picks go elsewhere."""
    one, two = Router("a", plans={"m": PLAN}), Router("b", plans={"m": PLAN})
    async with one.serving(), two.serving(), client_of(one, two) as client:
        one.hangs = True
        plans = await together(20, lambda: client.pick(asked(), soon()))
        assert len(plans) == 20
        two.hangs = True
        with pytest.raises(RoutersUnreachable):
            await client.pick(asked(), soon(0.5))


async def test_more_picks_than_the_bound_are_refused_at_once() -> None:
    """The queue is bounded."""
    router = Router(plans={"m": PLAN}, deferred={"m"})
    async with router.serving(), client_of(router, max_waiting=10) as client, asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(client.pick(asked(), soon())) for _ in range(10)]
        await eventually_async(lambda: len(router.picks) == 10)
        with pytest.raises(PicksOverloaded):
            await client.pick(asked(), soon())
        router.release.set()
    assert all(task.result().candidates for task in waiting)


async def test_a_pick_that_nobody_waits_for_any_more_is_not_sent() -> None:
    """And leaves nothing behind."""
    router = Router(plans={"m": PLAN}, deferred={"m"})
    async with router.serving(), client_of(router) as client:
        with pytest.raises(RoutersUnreachable):
            await client.pick(asked(), soon(0.05))
        assert [link.in_flight for link in client._links.values()] == [0]


async def test_peers_that_a_router_names_are_joined_and_left() -> None:
    """Routers come and go without the relay being told by its settings."""
    one, two = Router("a", plans={"m": PLAN}), Router("b", plans={"m": PLAN})
    async with one.serving(), client_of(one) as client:
        async with two.serving():
            one.peers = [
                pb.GetRouterStatusResponse.Peer(router_id="a", address="127.0.0.1:9"),
                pb.GetRouterStatusResponse.Peer(router_id="b", address=two.address),
            ]
            await eventually_async(lambda: two.address in client._links)
            await eventually_async(lambda: client._links[two.address].standing == 0)
            await together(BUSY + 16, lambda: client.pick(asked(), soon()))  # more than one router is given alone
            assert two.picks
        one.peers = []
        await eventually_async(lambda: two.address not in client._links)
        assert list(client._links) == [one.address]
        assert (await client.pick(asked(), soon())).router == one.address


async def test_the_same_router_under_two_names_is_one() -> None:
    """A router given in the settings is not joined again under the address it advertises."""
    one = Router("a", plans={"m": PLAN})
    async with one.serving():
        one.peers = [pb.GetRouterStatusResponse.Peer(router_id="a", address=one.address)]
        async with client_of(one.address.replace("127.0.0.1", "localhost")) as client:
            await together(3, lambda: client.pick(asked(), soon()))
            assert len(client._links) == 1


async def test_a_relay_is_ready_once_a_router_with_a_catalog_answers() -> None:
    """Not before; its first request then succeeds."""
    router = Router(state=pb.ROUTER_STATE_STARTING)
    async with Upstream(answers()).serving() as upstream, router.serving():
        router.plans["m"] = [candidate(1, upstream.base_url)]
        client = RouterClient([router.address], SETTINGS, max_waiting=10)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(client.run(lambda: None))
            await eventually_async(lambda: client._links and client._links[router.address].standing == 2)
            assert not client.ready
            router.state = pb.ROUTER_STATE_SERVING
            await eventually_async(lambda: client.ready)
            running.cancel()
        async with running_relay(router.address) as relay, relay.http() as http:
            assert (await http.post("/v1/chat/completions", content=b'{"model":"m"}')).status_code == 200


class Senseless(Router):
    """Refuses one model in words that cannot be read: more seconds than a time span holds."""

    def decide(self, pick: pb.Pick) -> pb.PickChannelsResponse.Result:
        """Decide one pick."""
        if pick.model != "senseless":
            return super().decide(pick)
        result = pb.PickChannelsResponse.Result(refusal=refusal_of(Unverified(cause=Cause.DATABASE_UNREACHABLE)))
        result.refusal.retry_delay.seconds = 10**15
        return result


async def test_an_answer_that_makes_no_sense_fails_its_request_and_no_other() -> None:
    """Those that wait on the same stream are served, and so is the next."""
    router = Senseless()
    async with Upstream(answers()).serving() as upstream, router.serving(), running_relay(router.address) as relay:
        router.plans["m"] = [candidate(1, upstream.base_url)]
        async with relay.http() as client:

            async def chat(model: str) -> tuple[int, str | None]:
                answer = await client.post(CHAT, json={"model": model, "messages": []})
                return answer.status_code, answer.json().get("error", {}).get("reason")

            async with asyncio.TaskGroup() as tasks:
                asking = [tasks.create_task(chat(model)) for model in ("m", "senseless", "m")]
            assert [task.result() for task in asking] == [(200, None), (500, "INTERNAL"), (200, None)]
            assert await chat("m") == (200, None)
    assert router.batches.count(0) == 1, "another stream was opened"
    assert len(router.picks) == 4


async def test_without_any_router_a_request_is_told_to_come_again() -> None:
    """503 with Retry-After, within the pick's time."""
    router = Router()
    async with contextlib.AsyncExitStack() as stack:
        async with router.serving():
            relay = await stack.enter_async_context(running_relay(router.address, TRUNKLINE_RELAY_PICK_TIMEOUT="200ms"))
        async with relay.http() as http:
            answer = await http.post("/v1/chat/completions", content=b'{"model":"m"}')
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["error"]["reason"] == "ROUTER_UNREACHABLE"


async def test_outcomes_beyond_the_bound_are_dropped_and_counted() -> None:
    """Reporting never waits, and never grows without end."""
    router = Router(plans={"m": PLAN})
    settings = LinkSettings(TOKEN, outcome_bound=3)
    async with router.serving(), client_of(router, settings=settings) as client:
        before = dropped()
        for number in range(5):
            client.report(router.address, outcome(number))
        assert dropped() - before == 2
        await client.flush(2)
        assert [told.attempt for told in router.outcomes] == [0, 1, 2]
        client.report("127.0.0.1:1", outcome(9))
        assert dropped() - before == 3


def outcome(attempt: int) -> Outcome:
    """An outcome of no importance."""
    return Outcome("d", "r", attempt, 1, 1, "m", Result.SUCCESS, 200, "", 0.1, 0.2, 1.0, streamed=False)


def dropped() -> float:
    """Outcomes dropped so far."""
    return REGISTRY.get_sample_value("trunkline_relay_outcomes_dropped_total") or 0.0


async def test_a_token_that_a_router_refuses_never_makes_the_relay_ready() -> None:
    """A relay with a wrong token is a relay that is not ready, not one that answers 401 for its clients' keys."""
    router = Router()
    async with router.serving():
        client = RouterClient([router.address], LinkSettings(Secret("wrong")), max_waiting=10)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(client.run(lambda: None))
            with pytest.raises(RoutersUnreachable):
                await client.pick(asked(), soon(0.3))
            assert not client.ready
            running.cancel()
