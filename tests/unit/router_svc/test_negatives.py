"""Refusals that are remembered: equal to computed ones, and forgotten with their snapshot."""

from __future__ import annotations

import weakref

from router_svc.negatives import MOST, Negatives, again, hopeless
from router_svc.plan import Ask, Decision, Plan
from router_svc.snapshot import Snapshot
from tests.unit.router_svc.builders import NOW, SECRET_HASH, api_key, channel, open_any, snapshot
from trunkline.errors import ApiKeyExpired, ApiKeyUnknown, ModelUnknown, NoChannel, Refused

HELD = snapshot(channel(1), channel(2, ("off",), status="DISABLED"))


def decide(negatives: Negatives, held: Snapshot, model: str, group: str = "default", **ask: object) -> Decision:
    """Decide through the memory."""
    return negatives.decide(held, Ask(model, group=group, **ask), NOW, open_any)  # type: ignore[arg-type]  # by name


def test_a_refusal_is_computed_once_a_snapshot() -> None:
    """The same one for the same question, a new one for the next snapshot."""
    negatives = Negatives()
    first = decide(negatives, HELD, "none")
    assert isinstance(first, ModelUnknown)
    assert decide(negatives, HELD, "none") is first
    assert decide(negatives, HELD, "none", "vip") is not first
    later = snapshot(channel(1), channel(3, ("none",)), revision=2)
    for _ in range(2):  # the second finds a memory that is of this snapshot already
        assert isinstance(decide(negatives, later, "none"), Plan)
    assert decide(negatives, HELD, "none") is not first


def test_plans_are_never_remembered() -> None:
    """Each pick draws anew."""
    negatives = Negatives()
    assert decide(negatives, HELD, "m") is not decide(negatives, HELD, "m")


def test_what_exclusions_addresses_and_time_decided_is_not_remembered() -> None:
    """A refusal for one request's own circumstances is no other's."""
    negatives = Negatives()
    assert isinstance(decide(negatives, HELD, "m", excluded=frozenset({1})), NoChannel)
    assert isinstance(decide(negatives, HELD, "m", required=2), NoChannel)
    assert isinstance(decide(negatives, HELD, "m"), Plan)
    keyed = snapshot(channel(1), api_key(expire_time=NOW - 1))
    early = negatives.decide(keyed, Ask("m", SECRET_HASH), NOW - 2, open_any)
    late = negatives.decide(keyed, Ask("m", SECRET_HASH), NOW, open_any)
    assert isinstance(early, Plan)
    assert isinstance(late, ApiKeyExpired)
    assert isinstance(negatives.decide(keyed, Ask("none", SECRET_HASH), NOW - 2, open_any), ModelUnknown)
    assert isinstance(negatives.decide(keyed, Ask("none", SECRET_HASH), NOW, open_any), ApiKeyExpired)
    unknown = negatives.decide(keyed, Ask("m", b"x" * 32), NOW, open_any)
    assert isinstance(unknown, ApiKeyUnknown)
    assert negatives.decide(keyed, Ask("m", b"x" * 32), NOW, open_any) is unknown


def test_why_there_is_no_plan_is_told_only_when_asked() -> None:
    """To tell it costs more than a plan, and what was told is remembered."""
    negatives, ask = Negatives(), Ask("none", group="default")
    assert negatives.quickly(HELD, ask, NOW, open_any) is None
    refused = negatives.refuse(HELD, ask, NOW)
    assert negatives.quickly(HELD, ask, NOW, open_any) is refused
    served = snapshot(channel(3, ("none",)), revision=2)
    assert isinstance(negatives.quickly(served, ask, NOW, open_any), Plan)
    assert negatives.quickly(HELD, ask, NOW, open_any) is None


def test_the_memory_is_bounded() -> None:
    """A storm of different questions takes no more than its share."""
    negatives = Negatives()
    for number in range(2 * MOST + 10):
        decide(negatives, HELD, f"none-{number}")
        assert len(negatives._known) <= MOST


def test_what_is_raised_is_equal_and_keeps_nothing_alive() -> None:
    """A copy for each raise, so that no frames hang on what is remembered."""
    refusal = decide(Negatives(), HELD, "none")
    assert isinstance(refusal, Refused)
    copy = again(refusal)
    assert (str(copy), copy.metadata, copy.reason, copy.faults) == (
        str(refusal), refusal.metadata, refusal.reason, refusal.faults,
    )  # fmt: skip
    assert copy is not refusal
    assert copy.__traceback__ is None


def test_a_snapshot_that_was_replaced_is_not_kept() -> None:
    """What is remembered of it must not hold a large catalog in memory until the next pick."""
    held, memory = snapshot(channel(1)), Negatives()
    memory.decide(held, Ask("unknown", group="default"), NOW, open_any)
    gone = weakref.ref(held)
    del held
    assert gone() is None


def test_hopeless_is_only_what_the_picker_refuses() -> None:
    """An exact name, a wildcard and any of a key's groups is hope; what is hopeless never becomes a plan."""
    held = snapshot(channel(1), channel(2, ("gpt-*",)), channel(3, ("off",), status="DISABLED"), api_key())
    asks = [Ask(model, group=group) for model in ("m", "gpt-9", "none", "off", "gpt") for group in ("default", "vip")]
    asks += [Ask(model, key) for model in ("m", "gpt-9", "none") for key in (SECRET_HASH, b"x" * 32)]
    for ask in asks:
        planned = isinstance(Negatives().decide(held, ask, NOW, open_any), Plan)
        assert not (planned and hopeless(held, ask))
    assert [hopeless(held, ask) for ask in asks[:6]] == [False, True, False, True, True, True]
    falls_back = snapshot(channel(1), api_key(groups=("vip", "default")))
    assert not hopeless(falls_back, Ask("m", SECRET_HASH))
