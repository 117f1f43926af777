"""A plan's length is not the world: channels that cannot be asked, however many, hide none that can."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import httpx2
import msgspec
import pytest

from relay_svc.asking_on import MOST_SEEN, WIDE
from relay_svc.outbound import Passed
from tests.harness.waiting import eventually_async
from tests.integration.relay_svc.conftest import CHAT, Bench, open_bench
from tests.integration.relay_svc.routers import API_KEY, candidate
from tests.integration.relay_svc.upstreams import answers, error
from trunkline import errors
from trunkline.errors import ModelUnknown, Unverified
from trunkline.v1 import router_pb2 as pb

USER: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]


@dataclass(frozen=True)
class Cause:
    """Why a channel cannot be asked: the channel, and the request that it cannot be asked for."""

    fields: Mapping[str, Any]
    reason: str
    status: int
    path: str = CHAT
    body: Mapping[str, Any] = field(default_factory=dict)
    base_url: str = "http://127.0.0.1:9/v1"
    beside: str = ""
    """A model named besides, which none of these channels serves."""


CAUSES: dict[str, Cause] = {
    "NotOffered": Cause({"provider": "anthropic"}, "OPERATION_NOT_OFFERED", 400, "/v1/embeddings", {"input": "x"}),
    "Unusable": Cause({"provider": "azure-openai"}, "CHANNELS_UNUSABLE", 503, body={"messages": USER}, base_url=""),
    "CannotCarry": Cause(
        {"provider": "anthropic", "shaping": {"strict": True}},
        "CANNOT_CARRY",
        400,
        body={"messages": USER, "logit_bias": {"1": 5}},
    ),
    "DialectFault": Cause({"provider": "anthropic"}, "INVALID_BODY", 400, body={"messages": 5}),
    "AdapterFault": Cause(
        {"provider": "coze", "upstream_model": "123"},
        "INVALID_BODY",
        400,
        body={"messages": [{"role": "tool", "content": "x", "tool_call_id": "y"}]},
    ),
    "RunIncomplete": Cause(
        {"provider": "coze-workflow-async", "upstream_model": "flow"}, "RUN_INCOMPLETE", 400, body={"messages": USER}
    ),
    "NamedBeside": Cause({}, "MODEL_UNCHECKED", 400, body={"messages": USER, "models": ["z"]}, beside="z"),
    "ShapingFault": Cause({"parameter_overrides_json": "[{}]"}, "CHANNELS_UNUSABLE", 503, body={"messages": USER}),
}
EVERY_CAUSE = pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES.keys())


def unaskable(cause: Cause, count: int) -> list[pb.Candidate]:
    """Channels that cannot be asked."""
    return [candidate(number, cause.base_url, **cause.fields) for number in range(1, count + 1)]


async def ask(bench: Bench, cause: Cause) -> httpx2.Response:
    """Send the request that such channels cannot be asked for."""
    async with bench.relay.http() as client:
        return await client.post(cause.path, json={"model": "m", **cause.body})


def test_every_cause_that_passes_a_candidate_over_is_in_the_table() -> None:
    """A new one must be shown here."""
    (why,) = (each.type for each in msgspec.structs.fields(Passed))
    assert {kind.__name__ for kind in get_args(why)} == set(CAUSES)


@pytest.mark.parametrize("count", [3, 5, 100])
@EVERY_CAUSE
async def test_a_channel_behind_any_number_that_cannot_be_asked_serves(bench: Bench, cause: Cause, count: int) -> None:
    """Passed-over candidates are no attempts."""
    upstream = await bench.upstream(answers())
    bench.router.plans["m"] = [*unaskable(cause, count), candidate(count + 1, upstream.base_url)]
    bench.router.plans[cause.beside] = [candidate(count + 1, upstream.base_url, upstream_model=cause.beside)]
    answer = await ask(bench, cause)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-trunkline-channel-id"] == str(count + 1)
    assert answer.headers["x-trunkline-attempts"] == "1"
    assert sum(pick.model == "m" for pick in bench.router.picks) <= 2 + count // WIDE


@EVERY_CAUSE
async def test_when_none_can_be_asked_the_refusal_names_the_truth(
    bench: Bench, cause: Cause, capfd: pytest.CaptureFixture[str]
) -> None:
    """After the router proved that there are no more: how many there are, how many were passed over, and why."""
    bench.router.plans["m"] = unaskable(cause, 100)
    bench.router.plans[cause.beside] = [candidate(1000, "http://127.0.0.1:9/v1", upstream_model=cause.beside)]
    answer = await ask(bench, cause)
    told = answer.json()["error"]
    assert (answer.status_code, told["reason"]) == (cause.status, cause.reason)
    assert "channels passed over: 100 of 100 considered; 100 " in told["message"]
    assert (told["revision"], told["request_id"]) == (7, answer.headers["x-request-id"])
    assert sorted([pick for pick in bench.router.picks if pick.model == "m"][-1].excluded_channel_ids) == list(
        range(1, 101)
    )
    line = next(line for line in capfd.readouterr().out.splitlines() if "[Distributor]" in line)
    assert all(word in line for word in ("passed_over=100", f"reason={cause.reason}", answer.headers["x-request-id"]))


async def test_all_reasons_are_told_and_the_most_useful_decides(bench: Bench) -> None:
    """Of channels passed over for different reasons, each kind is counted."""
    cause = CAUSES["CannotCarry"]
    broken = [candidate(number, "http://127.0.0.1:9/v1", **CAUSES["ShapingFault"].fields) for number in range(10, 14)]
    bench.router.plans["m"] = [*broken, *unaskable(cause, 2)]
    told = (await ask(bench, cause)).json()["error"]
    assert told["reason"] == "CANNOT_CARRY"
    assert "2 would lose what changes the meaning, 4 have overrides that cannot be applied" in told["message"]


async def test_what_cannot_be_proven_is_not_called_a_no(bench: Bench) -> None:
    """The router's own refusal is the client's, whatever was passed over before."""
    bench.router.plans["m"] = unaskable(CAUSES["NotOffered"], 5)
    bench.router.after_seen["m"] = Unverified(cause=errors.Cause.HEAD_MOVING, revision=8)
    answer = await ask(bench, CAUSES["NotOffered"])
    assert (answer.status_code, answer.json()["error"]["reason"]) == (503, "UNVERIFIED")
    assert answer.json()["error"]["revision"] == 8


async def test_thousands_are_a_bounded_number_of_questions(bench: Bench) -> None:
    """And past the bound it is said that not all were looked at."""
    bench.router.plans["m"] = unaskable(CAUSES["NotOffered"], MOST_SEEN + 200)
    answer = await ask(bench, CAUSES["NotOffered"])
    assert (answer.status_code, answer.json()["error"]["reason"]) == (503, "CHANNELS_UNSEEN")
    assert answer.headers["retry-after"] == "1"
    assert len(bench.router.picks) <= 2 + MOST_SEEN // WIDE


async def test_a_router_of_an_earlier_version_is_asked_for_less(bench: Bench) -> None:
    """It refuses to be asked for so many, and is asked again."""
    bench.router.widest = 16
    try:
        upstream = await bench.upstream(answers())
        bench.router.plans["m"] = [*unaskable(CAUSES["NotOffered"], 40), candidate(41, upstream.base_url)]
        assert (await ask(bench, CAUSES["NotOffered"])).status_code == 200
    finally:
        bench.router.widest = 64


async def test_a_router_that_names_the_same_again_ends_the_asking(bench: Bench) -> None:
    """No loop without progress."""
    bench.router.heeds_excluded = False
    try:
        bench.router.plans["m"] = unaskable(CAUSES["NotOffered"], 3)
        answer = await ask(bench, CAUSES["NotOffered"])
        assert answer.json()["error"]["reason"] == "CHANNELS_UNSEEN"
        assert len(bench.router.picks) == 2
    finally:
        bench.router.heeds_excluded = True


# ---------------------------------------------------------------- after attempts


async def test_after_failures_channels_beyond_the_plan_are_tried_while_attempts_are_left(bench: Bench) -> None:
    """One failed and two were passed over: the fourth serves as the second attempt, and outcomes name its decision."""
    failing, good = await bench.upstream(error(500)), await bench.upstream(answers())
    bench.router.plans["m"] = [
        candidate(1, failing.base_url),
        *[candidate(number, "http://127.0.0.1:9/v1", **CAUSES["ShapingFault"].fields) for number in (2, 3)],
        candidate(4, good.base_url),
    ]
    answer = await bench.chat()
    assert (answer.status_code, answer.headers["x-trunkline-attempts"]) == (200, "2")
    await eventually_async(lambda: len(bench.outcomes) == 2)
    assert list(bench.router.picks[-1].excluded_channel_ids) == [1, 2, 3]


async def test_no_more_than_so_many_attempts_are_made_however_long_a_plan_is(bench: Bench) -> None:
    """A long plan that was asked for after some were passed over is not walked to its end."""
    failing = await bench.upstream(error(500))
    bench.router.plans["m"] = [
        *unaskable(CAUSES["ShapingFault"], 3),
        *[candidate(number, failing.base_url) for number in range(4, 40)],
    ]
    answer = await bench.chat()
    assert (answer.status_code, answer.headers["x-trunkline-attempts"]) == (500, "3")
    assert len(failing.calls) == 3


async def test_when_all_failed_and_there_are_no_more_the_error_is_the_last_upstreams(bench: Bench) -> None:
    """Whatever the router says of more: what an upstream said is worth more to the client."""
    for said in (ModelUnknown(model="m", revision=9), Unverified(cause=errors.Cause.HEAD_MOVING, revision=9)):
        bench.router.after_seen["m"] = said
        await bench.plan(error(500))
        answer = await bench.chat()
        assert (answer.status_code, answer.headers["x-trunkline-revision"]) == (500, "7")


async def test_whatever_stands_in_a_plan_the_first_channels_that_can_be_asked_are_tried(bench: Bench) -> None:
    """Drawn plans of channels that fail, serve, or cannot be asked: as many attempts as there may be, and no fewer."""
    failing, good = await bench.upstream(error(500)), await bench.upstream(answers())
    causes = [CAUSES[name] for name in ("Unusable", "CannotCarry", "ShapingFault")]
    body = CAUSES["CannotCarry"].body
    draw = random.Random(20261201)
    for example in range(60):
        kinds = [draw.choice((*causes, *causes, "fails", "serves")) for _ in range(draw.randrange(1, 90))]
        bench.router.plans[f"m{example}"] = [
            candidate(number, kind.base_url, **kind.fields)
            if isinstance(kind, Cause)
            else candidate(number, (failing if kind == "fails" else good).base_url, upstream_model=f"m{example}")
            for number, kind in enumerate(kinds, 1)
        ]
        askable = [(number, kind) for number, kind in enumerate(kinds, 1) if isinstance(kind, str)][:3]
        serving = next((number for number, kind in askable if kind == "serves"), 0)
        async with bench.relay.http() as client:
            answer = await client.post(CHAT, json={"model": f"m{example}", **body})
        told = answer.headers.get("x-trunkline-channel-id", "0")
        if serving:
            assert (answer.status_code, told) == (200, str(serving)), kinds
        else:
            assert (answer.status_code, told) == ((500, str(askable[-1][0])) if askable else (400, "0")), kinds


async def test_a_dead_model_is_asked_on_for_within_its_budget_only() -> None:
    """To ask for more in vain is a wasted retry."""
    async with open_bench() as bench:
        await bench.plan(error(404, "model_not_found"))
        for _ in range(60):
            await bench.chat()
        asked_on = sum(bool(pick.excluded_channel_ids) for pick in bench.router.picks)
        assert 20 <= asked_on < 50
        assert {pick.api_key for pick in bench.router.picks} == {API_KEY}
