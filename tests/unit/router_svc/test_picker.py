"""Picks: who may, from where, in which order, with which key; and why not."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_svc.draws import OFFSET, Draw
from router_svc.explain import explain
from router_svc.keyring import Keyring
from router_svc.picker import decide, find
from router_svc.plan import Ask, Plan
from router_svc.snapshot import Channel, ChannelKey, Override, Proxy, Seal, Shaping, Snapshot, covers
from tests.unit.router_svc.builders import (
    NOW,
    SECRET_HASH,
    api_key,
    channel,
    ids_of,
    key,
    open_any,
    plan_of,
    snapshot,
)
from trunkline.errors import Reason, Refused
from trunkline.secret import PROXY, Sealer, Secret


def refusal_of(held: Snapshot, model: str = "m", **ask: Any) -> Refused:
    """Pick, expecting a refusal."""
    ask.setdefault("group", "default")
    decision = decide(held, Ask(model, **ask), NOW, open_any)
    assert isinstance(decision, Refused), decision
    return decision


def shares(held: Snapshot, picks: int = 4000, **ask: Any) -> dict[int, float]:
    """How often each channel comes first."""
    first = Counter(ids_of(plan_of(held, seed=seed * 7919, **ask))[0] for seed in range(picks))
    return {channel_id: count / picks for channel_id, count in first.items()}


# ---------------------------------------------------------------------- the order of candidates


def test_higher_tiers_come_first_and_no_channel_comes_twice() -> None:
    """A plan walks the tiers downwards."""
    held = snapshot(channel(1, priority=1), channel(2, priority=9), channel(3, priority=5), channel(4, priority=9))
    for seed in range(50):
        plan = plan_of(held, seed=seed, wanted=4)
        assert set(ids_of(plan)[:2]) == {2, 4}
        assert ids_of(plan)[2:] == [3, 1]
        assert [candidate.priority for candidate in plan.candidates] == [9, 9, 5, 1]


def test_inside_a_tier_channels_share_by_weight() -> None:
    """Weight 3 comes first three times as often as weight 1."""
    found = shares(snapshot(channel(1, weight=1), channel(2, weight=3)))
    assert found[1] == pytest.approx(0.25, abs=0.03)


def test_in_a_large_tier_channels_share_by_weight_too() -> None:
    """The choice is by weight also where a tier is cut into chunks."""
    held = snapshot(*[channel(number, weight=1 if number <= 1000 else 4) for number in range(1, 2001)])
    found = shares(held)
    assert sum(share for number, share in found.items() if number > 1000) == pytest.approx(0.8, abs=0.03)


def test_a_channel_of_weight_zero_comes_after_all_others_of_its_tier() -> None:
    """Weight 0 means last, not never: a channel that could serve is never a reason for a refusal."""
    held = snapshot(channel(1, weight=0), channel(2, weight=5), channel(3, weight=1))
    assert all(ids_of(plan_of(held, seed=seed))[2] == 1 for seed in range(50))
    assert ids_of(plan_of(held, excluded=frozenset({2, 3}))) == [1]


def test_a_great_weight_beside_many_small_ones_does_not_slow_the_second_draw() -> None:
    """A share that was taken is left out, not drawn again and again."""
    held = snapshot(channel(1, weight=1_000_000), *[channel(number, weight=1) for number in range(2, 2000)])
    plans = [ids_of(plan_of(held, seed=seed * 7919, wanted=16)) for seed in range(200)]
    assert all(len(set(plan)) == 16 for plan in plans)
    assert sum(plan[0] == 1 for plan in plans) > 190
    assert len({plan[1] for plan in plans}) > 150


def test_when_hundreds_of_channels_are_out_the_rest_still_share_by_weight() -> None:
    """Keys that cannot be opened cost no fairness among the others."""
    broken = [channel(number, weight=50, keys=[key(number * 10, broken=True)]) for number in range(10, 400)]
    found = shares(snapshot(channel(1, weight=1), channel(2, weight=3), *broken), picks=1500)
    assert found[1] == pytest.approx(0.25, abs=0.05)
    assert found[2] == pytest.approx(0.75, abs=0.05)


def test_a_tier_of_zeros_is_shared_equally() -> None:
    """When every weight is 0, each has the same chance."""
    found = shares(snapshot(*[channel(number, weight=0) for number in range(1, 5)]))
    assert all(found[number] == pytest.approx(0.25, abs=0.03) for number in range(1, 5))


def test_the_second_candidate_is_drawn_by_weight_among_the_rest() -> None:
    """Without replacement: after the first is taken, the others share by their weights."""
    held = snapshot(channel(1, weight=6), channel(2, weight=3), channel(3, weight=1))
    plans = [ids_of(plan_of(held, seed=seed * 7919)) for seed in range(6000)]
    after_first = [plan[1] for plan in plans if plan[0] == 1]
    assert after_first.count(2) / len(after_first) == pytest.approx(0.75, abs=0.03)


def test_the_second_candidate_of_many_is_drawn_by_weight_among_the_rest() -> None:
    """Drawing again what was drawn before is fair too, and so is going over from it to leaving out."""
    weights = {1: 2000, 2: 600, 3: 200} | dict.fromkeys(range(4, 204), 1)
    held = snapshot(*[channel(number, weight=weight) for number, weight in weights.items()])
    plans = [ids_of(plan_of(held, seed=seed * 7919)) for seed in range(6000)]
    after_first = [plan[1] for plan in plans if plan[0] == 1]
    assert after_first.count(2) / len(after_first) == pytest.approx(0.6, abs=0.03)
    assert after_first.count(3) / len(after_first) == pytest.approx(0.2, abs=0.03)
    after_two = [plan[2] for plan in plans if set(plan[:2]) == {1, 2}]
    assert after_two.count(3) / len(after_two) == pytest.approx(0.5, abs=0.04)


def test_the_same_seed_gives_the_same_plan() -> None:
    """A decision can be replayed from its seed."""
    held = snapshot(*[channel(number, keys=[key(number * 10), key(number * 10 + 1)]) for number in range(1, 50)])
    first, second = plan_of(held, seed=42), plan_of(held, seed=42)
    assert first.candidates == second.candidates
    assert first.seed == 42
    assert len({tuple(ids_of(plan_of(held, seed=seed))) for seed in range(20)}) > 10


def test_an_excluded_channel_is_never_named_whatever_it_weighs() -> None:
    """What failed already is not tried again."""
    heavy = [channel(number, weight=1_000_000) for number in range(1, 20)]
    held = snapshot(*heavy, channel(20, weight=1), channel(21, weight=0))
    plan = plan_of(held, excluded=frozenset(range(1, 20)), wanted=16)
    assert ids_of(plan) == [20, 21]


@given(
    weights=st.lists(st.integers(0, 5), min_size=1, max_size=9),
    keys=st.lists(st.lists(st.sampled_from(["ENABLED", "DISABLED", "broken"]), max_size=3), min_size=9, max_size=9),
    priorities=st.lists(st.integers(0, 1), min_size=9, max_size=9),
    wildcard=st.booleans(),
    upstream=st.sampled_from([None, "big-m"]),
    wanted=st.integers(1, 4),
    excluded=st.frozensets(st.integers(1, 9), max_size=2),
    seed=st.integers(0, 2**64 - 1),
)
def test_the_short_way_to_a_plan_gives_what_the_long_one_gives(
    *,
    weights: list[int],
    keys: list[list[str]],
    priorities: list[int],
    wildcard: bool,
    upstream: str | None,
    wanted: int,
    excluded: frozenset[int],
    seed: int,
) -> None:
    """The same channels, keys and names, whatever the catalog: few channels and many, one key and several."""
    held = snapshot(
        *(
            channel(
                number,
                {"m": upstream},
                weight=weight,
                priority=priorities[number - 1],
                keys=[
                    key(number * 10 + place, "ENABLED" if status == "broken" else status, broken=status == "broken")
                    for place, status in enumerate(keys[number - 1])
                ],
            )
            for number, weight in enumerate(weights, 1)
        ),
        *([channel(99, ["*"], keys=[key(990)])] if wildcard else []),
    )
    ask = Ask("m", group="default", wanted=wanted, excluded=excluded, seed=seed)
    for item in held.channels.values():
        for one in item.keys:
            one.ready = one.opened is not Seal.BROKEN
    found, matched = Draw.begun(held.channels, ask, open_any).from_routes(held.routes["default"])
    plan = find(held, ask, NOW, open_any)
    assert (plan is None) == (not found)
    if plan is not None:
        assert (plan.candidates, plan.matched_model) == (found, matched)


@pytest.mark.parametrize("channels", [2, 3, 30])
def test_the_short_way_gives_the_long_ones_plan_whatever_the_seed(channels: int) -> None:
    """Few channels, as many as wanted, and many: one key each, as most have."""
    held = snapshot(*(channel(number, weight=number) for number in range(1, channels + 1)))
    for seed in range(50):
        ask = Ask("m", group="default", seed=seed)
        found, _ = Draw.begun(held.channels, ask, open_any).from_routes(held.routes["default"])
        plan = find(held, ask, NOW, open_any)
        assert plan is not None
        assert plan.candidates == found


def test_a_plan_has_as_many_candidates_as_wanted_and_no_more() -> None:
    """Three by default."""
    held = snapshot(*[channel(number) for number in range(1, 30)])
    assert len(plan_of(held).candidates) == 3
    assert len(plan_of(held, wanted=16).candidates) == 16
    assert len(plan_of(snapshot(channel(1)), wanted=16).candidates) == 1


def test_every_order_of_candidates_comes_as_often_as_drawing_without_replacement_says() -> None:
    """Each ordered pair has the share of its first times that of its second among the rest, small tiers and large alike."""
    for filler in (0, 40):
        weights = {1: 1, 2: 2, 3: 3, 4: 10} | dict.fromkeys(range(5, 5 + filler), 1)
        held = snapshot(*(channel(number, weight=weight) for number, weight in weights.items()))
        total, picks = sum(weights.values()), 20_000
        seen = Counter(tuple(ids_of(plan_of(held, seed=seed * 7919, wanted=2))) for seed in range(picks))
        for first, second in ((1, 2), (2, 1), (3, 4), (4, 3), (4, 1)):
            share = weights[first] / total * weights[second] / (total - weights[first])
            assert seen[first, second] / picks == pytest.approx(share, abs=0.012 if filler == 0 else 0.006)


def test_the_same_seed_gives_the_same_plan_whether_keys_were_opened_before_or_not() -> None:
    """A plan may be asked for again by its seed: that a key was first needed then is nothing it may depend on."""

    def opens(_channel: Channel, sealed: ChannelKey | None) -> bool:
        assert sealed is not None
        sealed.opened = Secret("plain")
        return True

    def chosen(held: Snapshot, seed: int) -> list[tuple[int, int]]:
        plan = decide(held, Ask("m", group="default", seed=seed), NOW, opens)
        assert isinstance(plan, Plan)
        return [(candidate.channel.id, candidate.key.id) for candidate in plan.candidates if candidate.key is not None]

    def fresh() -> Snapshot:
        return snapshot(*(channel(n, keys=[key(10 * n + k) for k in range(n % 3 + 1)]) for n in range(1, 31)))

    used = fresh()
    for seed in range(100):
        assert chosen(used, seed) == chosen(fresh(), seed)
        assert len(chosen(used, seed)) == 3


@pytest.mark.parametrize("channels", [2, 30, 600], ids=["few", "many", "a tree of many"])
def test_the_seed_whose_draws_are_all_the_same_gives_a_whole_plan_like_any_other(channels: int) -> None:
    """One seed in so many has no chance left in it: channels then come in order, each once."""
    held = snapshot(*(channel(number, keys=[key(number), key(1000 + number)]) for number in range(1, channels + 1)))
    for _ in range(2):  # the second time by the short way
        assert ids_of(plan_of(held, seed=-OFFSET % 2**64))[:2] == [1, 2]


# ---------------------------------------------------------------------- models and groups


def test_an_exact_model_goes_before_wildcards_and_longer_wildcards_before_shorter() -> None:
    """The most specific declaration is tried first, the others stand behind it."""
    held = snapshot(channel(1, ["*"]), channel(2, ["gpt-*"]), channel(3, ["gpt-4o"]), channel(4, ["gpt-4*"]))
    plan = plan_of(held, "gpt-4o", wanted=4)
    assert ids_of(plan) == [3, 4, 2, 1]
    assert plan.matched_model == "gpt-4o"
    assert ids_of(plan_of(held, "gpt-3", wanted=4)) == [2, 1]
    assert plan_of(held, "gpt-3").matched_model == "gpt-*"
    assert plan_of(held, "llama").matched_model == "*"


def test_a_model_named_like_a_wildcard_gets_no_other_rights() -> None:
    """Asking for `gpt-*` literally matches as any name does."""
    held = snapshot(channel(1, ["gpt-*"]))
    assert plan_of(held, "gpt-*").candidates[0].upstream_model == "gpt-*"


def test_a_channel_counts_by_its_most_specific_name_only() -> None:
    """An exact ability that was switched off is not let in again through the channel's wildcard."""
    held = snapshot(
        channel(1, ["gpt-4o", "gpt-*"], overrides=[("default", "gpt-4o", False, None, None)]), channel(2, ["gpt-*"])
    )
    assert ids_of(plan_of(held, "gpt-4o", wanted=4)) == [2]
    assert sorted(ids_of(plan_of(held, "gpt-3", wanted=4))) == [1, 2]
    assert refusal_of(held, "gpt-4o", excluded=frozenset({2})).reason is Reason.NO_CHANNEL


def test_when_the_exact_model_has_no_channel_left_a_wildcard_serves() -> None:
    """A channel that declared to serve the name is never passed over for a refusal."""
    held = snapshot(channel(1, ["gpt-4o"], status="DISABLED"), channel(2, ["*"]))
    assert ids_of(plan_of(held, "gpt-4o")) == [2]
    assert plan_of(held, "gpt-4o").matched_model == "*"


@pytest.mark.parametrize(
    ("declared", "upstream", "asked", "sent"),
    [
        ("m", None, "m", "m"),
        ("m", "big-m", "m", "big-m"),
        ("gpt-*", None, "gpt-4o", "gpt-4o"),
        ("gpt-*", "openai/gpt-*", "gpt-4o", "openai/gpt-4o"),
        ("*", "vendor/*", "x", "vendor/x"),
        ("gpt-*", "gpt-default", "gpt-4o", "gpt-default"),
        ("m", "odd*", "m", "odd*"),
    ],
)
def test_the_upstream_gets_the_name_it_knows(declared: str, upstream: str | None, asked: str, sent: str) -> None:
    """A mapped name is used as is; a mapped wildcard takes what the wildcard matched."""
    plan = plan_of(snapshot(channel(1, {declared: upstream})), asked)
    assert plan.candidates[0].upstream_model == sent


def test_overrides_of_an_ability_go_before_the_channels_own() -> None:
    """One ability of a channel can have its own switch, tier and weight."""
    held = snapshot(
        channel(1, ["a", "b"], priority=5, overrides=[("default", "a", None, 0, None), ("default", "b", True, 9, 4)]),
        channel(2, ["a", "b"], priority=3),
    )
    assert ids_of(plan_of(held, "a")) == [2, 1]
    assert ids_of(plan_of(held, "b")) == [1, 2]


def test_fallback_groups_serve_when_the_own_group_cannot() -> None:
    """Groups are walked in the key's order, and a plan stays within the one that serves."""
    held = snapshot(
        channel(1, groups=["own"], status="DISABLED"), channel(2, groups=["second"]), channel(3, groups=["third"]),
        api_key(7, ["own", "first", "second", "third"]),
    )  # fmt: skip
    plan = plan_of(held, key_hash=SECRET_HASH)
    assert (plan.group, ids_of(plan), plan.api_key_id) == ("second", [2], 7)


# ---------------------------------------------------------------------- keys of channels


def test_enabled_keys_are_chosen_equally() -> None:
    """Every enabled key of a channel carries its share; a disabled one nothing."""
    held = snapshot(channel(1, keys=[key(1), key(2), key(3, "DISABLED"), key(4)]))
    chosen = Counter(_key_id(plan_of(held, seed=seed * 7919)) for seed in range(3000))
    assert set(chosen) == {1, 2, 4}
    assert all(count / 3000 == pytest.approx(1 / 3, abs=0.04) for count in chosen.values())


def test_a_channel_without_keys_needs_none_but_one_whose_keys_are_all_off_is_out() -> None:
    """A keyless upstream is legitimate; one with every key disabled is not keyless."""
    assert plan_of(snapshot(channel(1, keys=[]))).candidates[0].key is None
    refusal = refusal_of(snapshot(channel(1, keys=[key(1, "DISABLED"), key(2, "AUTO_DISABLED")])))
    assert refusal.reason is Reason.NO_CHANNEL


def test_a_key_that_cannot_be_opened_gives_way_to_the_next_key_and_the_next_channel() -> None:
    """One damaged key costs no request."""
    held = snapshot(
        channel(1, priority=9, keys=[key(1, broken=True), key(2)]), channel(2, priority=5, keys=[key(3, broken=True)]),
        channel(3),
    )  # fmt: skip
    for seed in range(20):
        plan = plan_of(held, seed=seed)
        assert [(c.channel.id, c.key.id if c.key else 0) for c in plan.candidates] == [(1, 2), (3, 30)]


def test_a_key_is_opened_once_and_only_when_it_is_chosen() -> None:
    """Loading a catalog unseals nothing."""
    opened: list[int] = []

    def open_key(_: Channel, chosen: object) -> bool:
        opened.append(chosen.id)  # type: ignore[attr-defined]  # a channel key
        return True

    held = snapshot(channel(1, priority=1), channel(2))
    for _ in range(3):
        decide(held, Ask("m", group="default", wanted=1), NOW, open_key)
    assert opened == [10]


@pytest.mark.parametrize("keys", [None, ()], ids=["with keys", "without"])
def test_a_channel_whose_proxy_cannot_be_opened_is_out(keys: tuple[ChannelKey, ...] | None) -> None:
    """Nothing is sent around a proxy, also where no key has to be opened; the next channel serves."""
    shaping = Shaping(proxy=Proxy(b"k1:damaged"))
    held = snapshot(channel(1, priority=9, keys=keys, shaping=shaping), channel(2))
    keyring = Keyring(Sealer({"k1": bytes(32)}))
    for item in held.channels.values():
        for sealed in item.keys:
            sealed.sealed = Sealer({"k1": bytes(32)}).seal(Secret("sk"), item.id, sealed.id)
    asked = Ask("m", group="default")
    for _ in range(2):
        decision = decide(held, asked, NOW, keyring.open)
        assert isinstance(decision, Plan)
        assert ids_of(decision) == [2]
    considered = {entry.channel.id: entry.out_reason for entry in explain(held, asked, decision)}
    assert considered == {1: "no_usable_key", 2: ""}
    [broken] = keyring.broken(held)
    assert (broken.id, broken.fault) == ("1", "proxy of channel 1: damaged, or sealed for another row")


def test_a_proxy_is_opened_once_and_with_the_key() -> None:
    """Afterwards a pick looks at neither seal."""
    sealer = Sealer({"k1": bytes(32)})
    shaping = Shaping(proxy=Proxy(sealer.seal(Secret("http://u:p@proxy"), 1, PROXY)))
    held = snapshot(channel(1, keys=[ChannelKey(10, sealer.seal(Secret("sk"), 1, 10), "", "ENABLED")], shaping=shaping))
    keyring = Keyring(sealer)
    assert isinstance(decide(held, Ask("m", group="default"), NOW, keyring.open), Plan)
    assert shaping.proxy is not None
    assert shaping.proxy.opened == Secret("http://u:p@proxy")
    assert keyring.broken(held) == []
    assert isinstance(decide(held, Ask("m", group="default"), NOW, lambda *_: pytest.fail("opened again")), Plan)


def test_only_broken_keys_make_a_group_without_channels() -> None:
    """Every channel out for its keys is a refusal like any other, told by its reason."""
    held = snapshot(channel(1, keys=[key(1, broken=True)]))
    refusal = refusal_of(held)
    assert refusal.reason is Reason.NO_CHANNEL
    considered = explain(held, Ask("m", group="default"), refusal)
    assert [entry.out_reason for entry in considered] == ["no_usable_key"]


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("columns", "ask", "reason"),
    [
        ({"hash": b"x" * 32}, {}, Reason.API_KEY_UNKNOWN),
        ({"status": "DISABLED"}, {}, Reason.API_KEY_DISABLED),
        ({"expire_time": NOW}, {}, Reason.API_KEY_EXPIRED),
        ({"expire_time": float("-inf")}, {}, Reason.API_KEY_EXPIRED),
        ({"expire_time": NOW + 1}, {}, None),
        ({"expire_time": float("inf")}, {}, None),
        ({"models": ("n", "x*")}, {}, Reason.MODEL_NOT_ALLOWED),
        ({"models": ("n", "m")}, {}, None),
        ({"models": ("*",)}, {}, None),
        ({"networks": (ip_network("10.0.0.0/8"),)}, {"address": "11.0.0.1"}, Reason.ADDRESS_NOT_ALLOWED),
        ({"networks": (ip_network("10.0.0.0/8"),)}, {"address": ""}, Reason.ADDRESS_NOT_ALLOWED),
        ({"networks": (ip_network("10.0.0.0/8"),)}, {"address": "10.9.8.7"}, None),
        ({"networks": (ip_network("10.0.0.0/8"),)}, {"address": "::ffff:10.9.8.7"}, None),
        ({"networks": (ip_network("fd00::/8"),)}, {"address": "fd00::1"}, None),
    ],
)
def test_an_api_key_opens_only_what_it_is_for(
    columns: dict[str, Any], ask: dict[str, Any], reason: Reason | None
) -> None:
    """Unknown, disabled and expired keys, models and addresses off the list are refused, each by its reason."""
    held = snapshot(channel(1), api_key(**columns))
    decision = decide(held, Ask("m", key_hash=SECRET_HASH, **ask), NOW, open_any)
    assert getattr(decision, "reason", None) is reason


def test_a_model_that_no_group_serves_is_unknown() -> None:
    """MODEL_UNKNOWN is about the whole catalog."""
    refusal = refusal_of(snapshot(channel(1)), "other")
    assert refusal.reason is Reason.MODEL_UNKNOWN
    assert refusal.metadata == {"model": "other", "revision": "1"}


def test_a_model_that_only_other_groups_serve_is_not_in_the_group() -> None:
    """Told apart from unknown, wildcards of other groups included."""
    held = snapshot(channel(1, ["x*"], groups=["vip"], status="DISABLED"), channel(2))
    assert refusal_of(held, "xy").reason is Reason.MODEL_NOT_IN_GROUP


def test_a_model_whose_every_channel_is_off_has_no_channel() -> None:
    """NO_CHANNEL says how many were considered, over all groups tried."""
    held = snapshot(
        channel(1, status="DISABLED"), channel(2, status="AUTO_DISABLED"),
        channel(3, overrides=[("default", "m", False, None, None)]), channel(4, keys=[key(4, "DISABLED")]),
        channel(5, groups=["next"], status="DISABLED"), api_key(1, ["default", "next"]),
    )  # fmt: skip
    refusal = refusal_of(held, key_hash=SECRET_HASH)
    assert refusal.reason is Reason.NO_CHANNEL
    assert refusal.metadata["considered"] == "5"
    considered = explain(held, Ask("m", key_hash=SECRET_HASH), refusal)
    assert [entry.out_reason for entry in considered] == [
        "channel_disabled", "channel_auto_disabled", "ability_disabled", "no_usable_key", "channel_disabled",
    ]  # fmt: skip


# ---------------------------------------------------------------------- against a naive oracle

catalogs = st.lists(
    st.builds(
        lambda models, groups, priority, weight, status, keys, off: {
            "models": models, "groups": groups, "priority": priority, "weight": weight, "status": status,
            "keys": keys, "overrides": [("g", models[0], False, None, None)] if off and models else [],
        },
        st.lists(st.sampled_from(["a", "ab", "abc", "a*", "ab*", "*"]), unique=True, max_size=3),
        st.lists(st.sampled_from(["g", "h"]), unique=True, max_size=2),
        st.integers(0, 2),
        st.integers(0, 3),
        st.sampled_from(["ENABLED", "ENABLED", "DISABLED"]),
        st.lists(st.sampled_from(["ENABLED", "DISABLED", "broken"]), max_size=2),
        st.booleans(),
    ),
    max_size=25,
)  # fmt: skip


def naive(channels: list[Channel], group: str, model: str, excluded: frozenset[int]) -> dict[int, tuple[int, int]]:
    """The channels that may serve, by the plain rule: each with how specific its name is, and its tier."""
    able = {}
    for item in channels:
        named = [declared for declared in item.models if covers(declared, model)]
        if not named or group not in item.groups or item.status != "ENABLED" or item.id in excluded:
            continue
        best = max(named, key=lambda declared: (not declared.endswith("*"), len(declared)))
        off = any(o.group == group and o.model == best and o.enabled is False for o in item.overrides)
        usable = [key for key in item.usable if key.opened is not Seal.BROKEN]
        if not off and (usable or not item.keys):
            able[item.id] = (-len(model) - 2 if best == model else -len(best), -item.priority)
    return able


@given(
    catalogs,
    st.sampled_from(["a", "ab", "abc", "abcd", "z"]),
    st.sampled_from([("g",), ("h",), ("g", "h")]),
    st.frozensets(st.integers(1, 25), max_size=6),
    st.integers(1, 6),
    st.integers(0, 2**64 - 1),
)
def test_a_plan_is_legal_and_a_refusal_true_whatever_the_catalog(
    columns: list[dict[str, Any]],
    model: str,
    groups: tuple[str, ...],
    excluded: frozenset[int],
    wanted: int,
    seed: int,
) -> None:
    """Against the plain rule: only able channels, all that were wanted, specific and high ones first; else none is able."""
    channels = [
        channel(
            number,
            **{**values, "keys": [
                key(number * 10 + place, "ENABLED" if status == "broken" else status, broken=status == "broken")
                for place, status in enumerate(values["keys"])
            ]},
        )
        for number, values in enumerate(columns, 1)
    ]  # fmt: skip
    held = snapshot(*channels, api_key(1, groups))
    ask = Ask(model, key_hash=SECRET_HASH, excluded=excluded, wanted=wanted, seed=seed)
    decision = decide(held, ask, NOW, open_any)
    able = [(group, naive(channels, group, model, excluded)) for group in groups]
    serving = next(((group, of_group) for group, of_group in able if of_group), None)
    considered = explain(held, ask, decision)
    if serving is None:
        assert isinstance(decision, Refused)
        matching = [c for c in channels if any(covers(declared, model) for declared in c.models)]
        served = {group for c in matching for group in c.groups}
        reason = "NO_CHANNEL" if served & set(groups) else "MODEL_NOT_IN_GROUP" if served else "MODEL_UNKNOWN"
        assert decision.reason == reason
        assert all(entry.out_reason and not entry.share and not entry.rank for entry in considered)
        return
    assert isinstance(decision, Plan)
    group, of_group = serving
    assert decision.group == group
    pairs = [(c.channel.id, c.key.id if c.key else 0) for c in decision.candidates]
    assert len(set(pairs)) == len(pairs)
    ids = list(dict.fromkeys(ids_of(decision)))
    assert len(ids) == min(wanted, len(of_group))
    assert ids == ids_of(decision)[: len(ids)]
    assert set(ids) <= set(of_group)
    keys = sum(max(1, len([k for k in channels[i - 1].usable if k.opened is not Seal.BROKEN])) for i in ids)
    assert len(pairs) == min(wanted, keys)  # what other channels leave of a plan is filled with other keys
    assert [of_group[i] for i in ids] == sorted(of_group.values())[: len(ids)]
    told = {entry.channel.id: entry for entry in considered if entry.group == group and not entry.out_reason}
    assert set(told) == set(of_group)
    assert {i: told[i].rank for i in ids} == {i: rank for rank, i in enumerate(ids, 1)}
    assert sum(entry.share for entry in told.values()) == pytest.approx(1)


def test_what_channels_leave_of_a_plan_is_filled_with_their_other_keys() -> None:
    """A refused key of the only channel is no reason to refuse the request; the channels themselves come first."""
    held = snapshot(channel(1, keys=[key(11), key(12), key(13, "DISABLED")]), channel(2, priority=-1))
    plan = decide(held, Ask("m", group="default", wanted=4), NOW, open_any)
    assert isinstance(plan, Plan)
    assert ids_of(plan) == [1, 2, 1]
    assert {c.key.id for c in plan.candidates if c.key and c.channel.id == 1} == {11, 12}


def _key_id(plan: Plan) -> int:
    chosen = plan.candidates[0].key
    assert chosen is not None
    return chosen.id


# ---------------------------------------------------------------------- a required channel


def test_a_required_channel_is_the_only_one_named_whatever_its_tier() -> None:
    """For what was begun there: the others are of no use."""
    held = snapshot(channel(1, priority=1, weight=0), channel(2, priority=9), channel(3, priority=9))
    for wanted in (1, 2, 3):
        assert ids_of(plan_of(held, required=wanted)) == [wanted]


def test_a_required_channel_must_serve_the_caller_that_model() -> None:
    """An id opens no door that was closed: unknown, off, of another group or model, or excluded it is no channel."""
    held = snapshot(channel(1), channel(2, status="DISABLED"), channel(3, groups=("vip",)), channel(4, models=("x",)))
    for wanted in (2, 3, 4, 99):
        assert refusal_of(held, required=wanted).reason == Reason.NO_CHANNEL
    assert refusal_of(held, required=1, excluded=frozenset({1})).reason == Reason.NO_CHANNEL
    assert refusal_of(held, model="y", required=1).reason == Reason.MODEL_UNKNOWN


def test_a_required_channel_counts_by_its_most_specific_name() -> None:
    """As any other: off by its exact name, it is not let in through its wildcard."""
    off = Override("default", "m", enabled=False, priority=None, weight=None)
    held = snapshot(channel(1, models=("m", "m*"), overrides=(off,)), channel(2, models=("m*",)))
    assert refusal_of(held, required=1).reason == Reason.NO_CHANNEL
    assert ids_of(plan_of(held, required=2)) == [2]
    assert plan_of(held, required=2).matched_model == "m*"


# ---------------------------------------------------------------------- asking on


def seen_by_asking_on(held: Snapshot, wanted: int) -> list[int]:
    """Ask with all excluded that were named before, until there is no channel; the ids in the order of their plans."""
    seen: list[int] = []
    while True:
        ask = Ask("m", key_hash=SECRET_HASH, excluded=frozenset(seen), wanted=wanted, seed=len(seen) * 7919)
        decision = decide(held, ask, NOW, open_any)
        if isinstance(decision, Refused):
            assert decision.reason is Reason.NO_CHANNEL
            return seen
        fresh = dict.fromkeys(ids_of(decision))
        assert fresh
        assert not set(fresh) & set(seen)
        seen += fresh


@given(
    st.lists(
        st.tuples(
            st.sampled_from([("vip",), ("default",), ("vip", "default")]),
            st.sampled_from([("m",), ("*",), ("m", "*")]),
            st.integers(0, 2),
            st.integers(0, 3),
        ),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 5),
)
def test_asking_on_names_every_channel_there_is_group_by_group(
    rows: list[tuple[tuple[str, ...], tuple[str, ...], int, int]], wanted: int
) -> None:
    """Lower tiers, shorter names and fallback groups too: only then is it said that there is none."""
    channels = [
        channel(number, models, groups, priority=priority, weight=weight)
        for number, (groups, models, priority, weight) in enumerate(rows, 1)
    ]
    held = snapshot(api_key(groups=("vip", "default")), *channels)
    seen = seen_by_asking_on(held, wanted)
    assert sorted(seen) == list(range(1, len(rows) + 1))
    own = [number for number, row in enumerate(rows, 1) if "vip" in row[0]]
    assert sorted(seen[: len(own)]) == own


@pytest.mark.parametrize("count", [100, 700])
def test_with_hundreds_excluded_every_channel_is_named_once_and_by_weight(count: int) -> None:
    """Leaving out one by one would cost a walk past all that are out for each draw."""
    held = snapshot(api_key(), *[channel(number, weight=1 + number % 3) for number in range(1, count + 1)])
    assert sorted(seen_by_asking_on(held, 64)) == list(range(1, count + 1))
    excluded = frozenset(range(3, count + 1))
    found = shares(held, picks=1500, excluded=excluded)
    assert found[2] == pytest.approx(3 / 5, abs=0.05)
