"""Messages at the door."""

from __future__ import annotations

import pytest
from google.protobuf import duration_pb2

from router_svc.desk import LONGEST_LIMIT, TIME_LIMIT
from router_svc.follower import Trust
from router_svc.plan import Ask, Plan
from router_svc.plan_writer import PlanWriter
from router_svc.snapshot import Channel, ChannelKey, Proxy, Shaping, Timeouts
from router_svc.wire import Asks, duration_message, result_name, state_message, time_limit_of
from tests.unit.router_svc.builders import channel, plan_of, snapshot
from trunkline.errors import InvalidFields
from trunkline.secret import ApiKeyHasher, Secret
from trunkline.v1 import router_pb2

ASKS = Asks(ApiKeyHasher(Secret("pepper")))


TRUSTED = Trust(degraded=False, age=0.0)


def written(plan: Plan, *, credentials: bool, trust: Trust = TRUSTED) -> router_pb2.Plan:
    """A plan's message."""
    return PlanWriter(credentials=credentials, trust=lambda: trust).message(plan)


def opened(item: Channel) -> Channel:
    """A channel whose keys were opened."""
    for key in item.keys:
        key.opened = Secret("sk-plain")
    return item


def test_a_pick_becomes_an_ask() -> None:
    """Every field finds its place, and what is absent its default."""
    pick = router_pb2.Pick(
        group="g", model="m", client_address="10.0.0.1", excluded_channel_ids=[4, 5], max_candidates=7, seed=0
    )
    assert _without_id(ASKS.ask(pick)) == Ask("m", None, "g", "10.0.0.1", frozenset({4, 5}), 7, 0)
    ask = ASKS.ask(router_pb2.Pick(api_key="sk-1", model="m"))
    assert ask.key_hash == ApiKeyHasher(Secret("pepper")).hash("sk-1")
    assert ask.wanted == 3
    assert len({ASKS.ask(pick).decision_id for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("pick", "fields"),
    [
        (router_pb2.Pick(), ["pick.model", "pick.caller"]),
        (router_pb2.Pick(model="m" * 2000, api_key="k" * 2000), ["pick.model", "pick.api_key"]),
        (router_pb2.Pick(model="m", group="g", max_candidates=65), ["pick.max_candidates"]),
        (router_pb2.Pick(model="m", group="g", max_candidates=-1), ["pick.max_candidates"]),
        (router_pb2.Pick(model="m", group="g", excluded_channel_ids=range(1, 5000)), ["pick.excluded_channel_ids"]),
        (router_pb2.Pick(model="m", group="g", required_channel_id=-1), ["pick.required_channel_id"]),
    ],
)
def test_a_pick_at_fault_names_every_field(pick: router_pb2.Pick, fields: list[str]) -> None:
    """All faults at once."""
    with pytest.raises(InvalidFields) as refused:
        ASKS.ask(pick)
    assert [fault.field for fault in refused.value.faults] == fields


def test_a_whole_key_is_written_only_for_those_who_may_have_it() -> None:
    """Others see its last four characters."""
    plan = plan_of(snapshot(opened(channel(1))))
    for _ in range(2):  # messages are kept and copied, each kind of caller its own
        with_key = written(plan, credentials=True).candidates[0]
        without = written(plan, credentials=False, trust=Trust(degraded=True, age=1.5))
    assert (with_key.key, with_key.key_last_four) == ("sk-plain", "last")
    assert "sk-plain" not in str(without)
    assert without.candidates[0].key_last_four == "last"
    assert without.degraded
    assert without.snapshot_age == duration_pb2.Duration(seconds=1, nanos=500_000_000)


def test_a_candidate_carries_all_that_an_attempt_needs() -> None:
    """Overrides and time limits travel when there are any."""
    full = opened(
        channel(
            1,
            {"m": "big-m"},
            priority=4,
            revision=9,
            timeouts=Timeouts(1500, None, None, 60_000),
            header_overrides={"x-a": "1"},
            parameter_overrides='{"a":1}',
        )
    )
    candidate = written(plan_of(snapshot(full)), credentials=True).candidates[0]
    assert (candidate.channel_id, candidate.upstream_model, candidate.priority) == (1, "big-m", 4)
    assert candidate.channel_revision == 9
    assert dict(candidate.header_overrides) == {"x-a": "1"}
    assert candidate.parameter_overrides_json == '{"a":1}'
    assert candidate.timeouts.connect == duration_message(1.5)
    assert not candidate.timeouts.HasField("idle")
    plain = written(plan_of(snapshot(channel(1, keys=[]))), credentials=True)
    assert not plain.candidates[0].HasField("timeouts")
    assert not plain.candidates[0].HasField("shaping")
    assert (plain.candidates[0].key_id, plain.candidates[0].key) == (0, "")


def test_a_shaping_travels_whole_and_its_proxy_and_prompt_only_to_those_who_may_have_them() -> None:
    """With a channel key and without one; messages are kept, each kind of caller its own."""
    shaping = Shaping(
        provider_options={"bot_id": "1"},
        removed_headers=("x-a",),
        system_prompt="be kind",
        system_prompt_mode="PREPEND",
        status_mapping={429: 503},
        proxy=Proxy(b"sealed", Secret("http://u:s3cret@proxy")),
        strict=True,
        repeat_after_timeout=True,
    )
    for keys in (None, ()):
        plan = plan_of(snapshot(opened(channel(1, keys=keys, shaping=shaping))))
        for _ in range(2):
            whole = written(plan, credentials=True).candidates[0].shaping
            without = written(plan, credentials=False).candidates[0].shaping
            assert whole.proxy_url == "http://u:s3cret@proxy"
            assert "s3cret" not in str(without)
            assert "be kind" not in str(without)
            assert (dict(whole.provider_options), list(whole.removed_headers)) == ({"bot_id": "1"}, ["x-a"])
            assert (whole.system_prompt, whole.system_prompt_mode) == ("be kind", router_pb2.SYSTEM_PROMPT_MODE_PREPEND)
            assert (dict(whole.status_mapping), whole.strict, whole.repeat_after_timeout) == ({429: 503}, True, True)
            whole.proxy_url = ""
            whole.system_prompt = without.system_prompt = ""
            assert whole == without


@pytest.mark.parametrize(
    ("asked", "remaining", "limit"),
    [
        (None, None, TIME_LIMIT),
        (duration_pb2.Duration(nanos=500_000_000), None, 0.5),
        (duration_pb2.Duration(seconds=-5), None, 0.0),
        (duration_pb2.Duration(seconds=10**6), None, LONGEST_LIMIT),
        (duration_pb2.Duration(seconds=5), 1.0, 0.9),
        (None, -1.0, 0.0),
    ],
)
def test_a_pick_waits_within_what_its_caller_says_and_within_its_call(
    asked: duration_pb2.Duration | None, remaining: float | None, limit: float
) -> None:
    """The answer must still arrive before the call's deadline."""
    assert time_limit_of(asked, remaining) == pytest.approx(limit)


def test_what_is_kept_of_a_wildcards_messages_is_bounded() -> None:
    """A client may ask for endlessly many names."""
    held = snapshot(opened(channel(1, ["*"])))
    writer = PlanWriter(credentials=True, trust=lambda: TRUSTED)
    for number in range(200):
        assert writer.message(plan_of(held, f"m{number}")).candidates[0].upstream_model == f"m{number}"
    item = held.channels.get(1)
    assert item is not None
    assert len(item.keys[0].written or ()) <= 32


def test_names_that_only_newer_peers_know_do_no_harm() -> None:
    """Another router's state, a relay's result."""
    assert state_message("SERVING") == router_pb2.ROUTER_STATE_SERVING
    assert state_message("LEVITATING") == router_pb2.ROUTER_STATE_UNSPECIFIED
    assert result_name(router_pb2.OUTCOME_RESULT_SUCCESS) == "SUCCESS"
    assert result_name(999) == "UNKNOWN"


def test_a_channel_key_shows_nothing_of_itself() -> None:
    """Neither its sealed nor its plain form is in what a log or an error might print."""
    shown = ChannelKey(3, b"sealed-bytes", "last", "ENABLED", Secret("sk-plain"))
    proxy = Proxy(b"sealed-bytes", Secret("http://u:sk-plain@proxy"))
    shaping = Shaping(proxy=proxy, system_prompt="plain")
    item = opened(channel(1, header_overrides={"authorization": "sk-plain"}, shaping=shaping))
    for text in (repr(shown), repr(item), str(plan_of(snapshot(item))), repr(proxy), repr(shaping)):
        assert "plain" not in text
        assert "sealed" not in text


def _without_id(ask: Ask) -> Ask:
    ask.decision_id = ""
    return ask
