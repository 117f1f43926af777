"""What Anthropic's models take, by their names."""

import json
from typing import Any

import pytest

from relay_svc.dialects import Dialect, Losses, Target, read_request, write_request
from relay_svc.providers.claude import Ways, ways_of

BUDGET = Ways(adaptive_thinking=False)
ONE = Ways(adaptive_thinking=False, one_sampling=True)
EITHER = Ways(adaptive_thinking=True, one_sampling=True)
NEWEST = Ways(adaptive_thinking=True, xhigh=True, sampling=False)


@pytest.mark.parametrize(
    ("model", "ways"),
    [
        ("claude-3-7-sonnet-20250219", BUDGET),
        ("claude-3-haiku-20240307", BUDGET),
        ("claude-sonnet-4-20250514", BUDGET),
        ("claude-opus-4@20250514", BUDGET),
        ("claude-opus-4-0", BUDGET),
        ("claude-instant-1.2", BUDGET),
        ("claude-opus-4-1-20250805", ONE),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", ONE),
        ("anthropic/claude-haiku-4.5", ONE),
        ("claude-opus-4-5-20251101", ONE),
        ("claude-opus-4-6", EITHER),
        ("claude-sonnet-4-6", EITHER),
        ("claude-opus-4-7", NEWEST),
        ("anthropic/claude-4.7-opus", NEWEST),
        ("claude-opus-4-8", NEWEST),
        ("claude-sonnet-5", NEWEST),
        ("claude-haiku-5-5", NEWEST),
        ("claude-opus-10", NEWEST),
        ("claude-next", NEWEST),
        ("kimi-k2", BUDGET),
        ("deepseek-chat", BUDGET),
        ("", BUDGET),
    ],
)
def test_a_model_is_told_by_its_name(model: str, ways: Ways) -> None:
    """Whatever a cloud or a router writes around it; a date is no generation."""
    assert ways_of(model) == ways


def written(model: str, **members: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A chat request as it goes to a model, and what was lost."""
    body = {"model": "m", "max_tokens": 9000, "messages": [{"role": "user", "content": "x"}], **members}
    losses, ways = Losses(), ways_of(model)
    request = read_request(Dialect.OPENAI_CHAT, json.dumps(body).encode(), losses)
    target = Target(
        model,
        adaptive_thinking=ways.adaptive_thinking,
        xhigh=ways.xhigh,
        sampling=ways.sampling,
        one_sampling=ways.one_sampling,
    )
    return json.loads(write_request(Dialect.ANTHROPIC, request, target, losses)), losses.names


@pytest.mark.parametrize(
    ("model", "sent", "lost"),
    [
        ("claude-opus-4-0", {"temperature": 0.5, "top_p": 0.9}, ()),
        ("claude-sonnet-4-5", {"temperature": 0.5}, ("top_p",)),
        ("claude-opus-4-8", {}, ("temperature", "top_p")),
    ],
)
def test_numbers_of_sampling_that_a_model_refuses_are_lost_by_name(
    model: str, sent: dict[str, float], lost: tuple[str, ...]
) -> None:
    """Temperature goes before top_p, which fewer callers say on purpose."""
    body, losses = written(model, temperature=0.5, top_p=0.9)
    assert {name: body[name] for name in ("temperature", "top_p") if name in body} == sent
    assert losses == lost


def test_one_number_of_sampling_goes_alone() -> None:
    """A model that takes either takes top_p where there is no temperature."""
    assert written("claude-sonnet-4-5", top_p=0.9) == (written("claude-sonnet-4-5")[0] | {"top_p": 0.9}, ())


def test_a_temperature_that_is_the_default_is_no_loss() -> None:
    """One is what there is without it."""
    body, losses = written("claude-opus-4-8", temperature=1, top_p=1)
    assert "temperature" not in body
    assert losses == ()


@pytest.mark.parametrize(
    ("model", "thinking"),
    [
        ("claude-haiku-4-5", {"type": "enabled", "budget_tokens": 8192}),
        ("claude-sonnet-4-6", {"type": "adaptive"}),
        ("claude-opus-4-8", {"type": "adaptive"}),
    ],
)
def test_thinking_is_asked_for_as_the_model_takes_it(model: str, thinking: dict[str, Any]) -> None:
    """The older form is refused by newer models, and the newer by older ones."""
    assert written(model, reasoning_effort="medium")[0]["thinking"] == thinking


@pytest.mark.parametrize(("model", "effort"), [("claude-opus-4-6", "high"), ("claude-opus-4-7", "xhigh")])
def test_an_effort_is_one_that_the_model_knows(model: str, effort: str) -> None:
    """The next one that it does."""
    assert written(model, reasoning_effort="xhigh")[0]["output_config"] == {"effort": effort}
