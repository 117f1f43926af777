"""The models a caller may use."""

from __future__ import annotations

from router_svc.listing import STEP, list_models
from router_svc.snapshot import ApiKey, Snapshot
from tests.unit.router_svc.builders import api_key, channel, snapshot


def listed(held: Snapshot, groups: tuple[str, ...] = ("default",), caller: ApiKey | None = None) -> dict[str, set[str]]:
    """List to the end."""
    models: dict[str, set[str]] = {}
    for _ in list_models(held, groups, caller, models):
        pass
    return models


def test_only_models_with_a_channel_that_could_serve_are_listed() -> None:
    """What is off for everybody is not offered; providers are those of the channels that are on."""
    held = snapshot(
        channel(1, ["a", "b"], provider="x"), channel(2, ["a"], provider="y"),
        channel(3, ["a", "c"], provider="z", status="DISABLED"), channel(4, ["d"], groups=["vip"]),
    )  # fmt: skip
    assert listed(held) == {"a": {"x", "y"}, "b": {"x"}}


def test_models_of_fallback_groups_are_listed_too() -> None:
    """A caller sees what picks would give it."""
    held = snapshot(channel(1, ["a"]), channel(2, ["b"], groups=["vip"]))
    assert set(listed(held, ("default", "vip"))) == {"a", "b"}


def test_an_allow_list_narrows_what_is_listed() -> None:
    """Wildcards are listed as declared, or by the narrower part that is allowed."""
    held = snapshot(channel(1, ["gpt-*", "llama", "qwen"]))
    assert set(listed(held)) == {"gpt-*", "llama", "qwen"}
    assert set(listed(held, caller=api_key(models=("gpt-4o", "gpt-5*", "llama", "other")))) == {
        "gpt-4o", "gpt-5*", "llama",
    }  # fmt: skip
    assert set(listed(held, caller=api_key(models=("*",)))) == {"gpt-*", "llama", "qwen"}


def test_a_long_list_is_walked_in_steps() -> None:
    """Listing lets others run in between."""
    held = snapshot(*[channel(number, [f"m{number % 10}"]) for number in range(1, 2 * STEP)])
    models: dict[str, set[str]] = {}
    assert sum(1 for _ in list_models(held, ("default",), None, models)) >= 1
    assert len(models) == 10
