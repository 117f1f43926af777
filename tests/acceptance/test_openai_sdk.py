"""What a user of the official OpenAI SDK sees."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
import pytest

from tests.acceptance import upstreams
from tests.acceptance.stack import Stack, unique
from tests.harness.waiting import PATIENCE

MESSAGES = [{"role": "user", "content": "Say hello."}]
REFUSED = "http://127.0.0.1:9/v1"
"""Nobody listens on the discard port."""


def chat(stack: Stack, api_key: str, model: str, **fields: Any) -> Any:
    """One chat completion."""
    create = stack.openai(api_key).chat.completions.create
    return create(model=model, messages=MESSAGES, max_tokens=8, **fields)


def test_a_chat_is_answered_by_the_model(stack: Stack, model: str) -> None:
    """The demo's key and model work, and usage is the upstream's."""
    answer = chat(stack, stack.addresses["api_key"], model)
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 8


def test_a_streamed_chat_arrives_in_pieces_and_ends(stack: Stack, model: str) -> None:
    """Several events with text, the usage asked for, and a finish reason."""
    stream = stack.openai(stack.addresses["api_key"]).chat.completions.create(
        model=model, messages=MESSAGES, max_tokens=16, stream=True, stream_options={"include_usage": True}
    )
    events = list(stream)
    texts = [event.choices[0].delta.content for event in events if event.choices and event.choices[0].delta.content]
    assert len(texts) > 1
    assert any(event.choices and event.choices[0].finish_reason for event in events)
    assert any(event.usage for event in events)


def test_the_answer_says_which_channel_served_it(stack: Stack, llm: str, model: str) -> None:
    """Channel, attempts, revision and overhead stand in headers."""
    channel = stack.channel(llm, (name := unique("model")), model_mapping={name: model})
    raw = stack.openai(stack.api_key()).chat.completions.with_raw_response.create(
        model=name, messages=MESSAGES, max_tokens=4
    )
    assert raw.headers["x-trunkline-channel-id"] == str(channel["id"])
    assert raw.headers["x-trunkline-attempts"] == "1"
    assert int(raw.headers["x-trunkline-revision"]) >= channel["revision"]
    assert float(raw.headers["x-trunkline-overhead-ms"]) >= 0


def test_an_unknown_model_is_not_found(stack: Stack) -> None:
    """404 with the reason and the revision it was proven at."""
    with pytest.raises(openai.NotFoundError) as caught:
        chat(stack, stack.api_key(), unique("model"))
    assert caught.value.code == "model_not_found"
    assert "MODEL_UNKNOWN" in caught.value.response.text


def test_a_model_of_another_group_is_not_found_and_says_so(stack: Stack, llm: str) -> None:
    """404, with a reason of its own."""
    name, group = unique("model"), stack.group()
    stack.channel(llm, name, groups=[group])
    with pytest.raises(openai.NotFoundError) as caught:
        chat(stack, stack.api_key(), name)
    assert "MODEL_NOT_IN_GROUP" in caught.value.response.text


def test_a_fallback_group_serves_what_the_own_group_lacks(stack: Stack, llm: str, model: str) -> None:
    """Ordered fallback groups."""
    name, group = unique("model"), stack.group()
    stack.channel(llm, name, groups=["default"], model_mapping={name: model})
    key = stack.api_key(group, fallback_groups=["default"])
    assert chat(stack, key, name).choices


def test_a_wrong_key_is_refused(stack: Stack, model: str) -> None:
    """401, and the key is not repeated."""
    with pytest.raises(openai.AuthenticationError) as caught:
        chat(stack, "sk-wrong-but-long-enough-to-notice", model)
    assert caught.value.code == "invalid_api_key"
    assert "wrong-but" not in caught.value.response.text


def test_a_disabled_key_and_an_expired_one_are_refused(stack: Stack, model: str) -> None:
    """401, each with its own reason."""
    expired = stack.api_key(expire_time="2020-01-01T00:00:00Z")
    disabled = stack.api_key(status="DISABLED")
    for key, reason in ((expired, "API_KEY_EXPIRED"), (disabled, "API_KEY_DISABLED")):
        with pytest.raises(openai.AuthenticationError) as caught:
            chat(stack, key, model)
        assert reason in caught.value.response.text


def test_a_model_outside_the_allow_list_is_forbidden(stack: Stack, model: str) -> None:
    """403."""
    with pytest.raises(openai.PermissionDeniedError) as caught:
        chat(stack, stack.api_key(model_allow_list=["other-*"]), model)
    assert "MODEL_NOT_ALLOWED" in caught.value.response.text


def test_an_address_outside_the_allow_list_is_forbidden(stack: Stack, model: str) -> None:
    """403; the loopback address is not in 10.0.0.0/8."""
    with pytest.raises(openai.PermissionDeniedError) as caught:
        chat(stack, stack.api_key(address_allow_list=["10.0.0.0/8"]), model)
    assert "ADDRESS_NOT_ALLOWED" in caught.value.response.text


def test_a_disabled_channel_is_no_channel(stack: Stack, llm: str) -> None:
    """503 from the moment the change is acknowledged."""
    channel = stack.channel(llm, (name := unique("model")))
    stack.ask("PATCH", f"/api/v1/channels/{channel['id']}", {"status": "DISABLED"})
    with pytest.raises(openai.InternalServerError) as caught:
        chat(stack, stack.api_key(), name)
    assert caught.value.status_code == 503
    assert "NO_CHANNEL" in caught.value.response.text


def test_a_dead_first_channel_fails_over_to_a_live_second(stack: Stack, llm: str, model: str) -> None:
    """The client sees only the answer; the header counts two attempts."""
    name = unique("model")
    stack.channel(REFUSED, name, priority=10)
    live = stack.channel(llm, name, priority=1, model_mapping={name: model})
    raw = stack.openai(stack.api_key()).chat.completions.with_raw_response.create(
        model=name, messages=MESSAGES, max_tokens=4
    )
    assert raw.headers["x-trunkline-attempts"] == "2"
    assert raw.headers["x-trunkline-channel-id"] == str(live["id"])


def test_when_every_channel_failed_the_last_upstream_error_is_passed_on(stack: Stack) -> None:
    """Not a made-up one."""
    name, body = unique("model"), {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}
    with upstreams.answering(429, body) as limited:
        stack.channel(REFUSED, name, priority=10)
        stack.channel(limited.url, name, priority=1)
        with pytest.raises(openai.RateLimitError) as caught:
            chat(stack, stack.api_key(), name)
    assert caught.value.code == "rate_limit_exceeded"


def test_the_upstream_gets_its_own_key_and_model_and_never_the_clients_key(stack: Stack) -> None:
    """Only the model name changes in the body; the client's credential stays here."""
    name, key = unique("model"), stack.api_key()
    with upstreams.answering(200, {"id": "x", "choices": [], "object": "chat.completion"}) as upstream:
        stack.channel(upstream.url, name, model_mapping={name: "upstream-name"}, keys=["sk-for-upstream"])
        chat(stack, key, name, user="someone")
    seen = upstream.requests[0]
    assert seen["path"] == "/v1/chat/completions"
    assert seen["body"] == {"model": "upstream-name", "messages": MESSAGES, "max_tokens": 8, "user": "someone"}
    headers = {header.lower(): value for header, value in seen["headers"].items()}
    assert headers["authorization"] == "Bearer sk-for-upstream"
    assert key not in json.dumps(seen)


def test_a_client_that_leaves_mid_stream_is_noticed_upstream(stack: Stack) -> None:
    """Nobody pays for words that nobody reads."""
    name = unique("model")
    with upstreams.endless() as upstream:
        stack.channel(upstream.url, name)
        stream = stack.openai(stack.api_key()).chat.completions.create(model=name, messages=MESSAGES, stream=True)
        next(iter(stream))
        stream.close()
        assert upstream.left.wait(PATIENCE)


def test_a_body_over_the_limit_is_refused(stack: Stack) -> None:
    """413 by its announced length, before it is read."""
    headers = {"authorization": f"Bearer {stack.api_key()}", "content-type": "application/json"}
    body = b'{"model": "m", "x": "' + b"x" * (64 << 20) + b'"}'
    answer = httpx2.post(f"{stack.relay}/v1/chat/completions", content=body, headers=headers, timeout=PATIENCE)
    assert answer.status_code == 413
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b'{"messages": []}', b'{"model": 7}', b'{"model":"a","model":"b"}'])
def test_a_body_that_cannot_be_routed_is_a_bad_request(stack: Stack, body: bytes) -> None:
    """400 in OpenAI's shape."""
    headers = {"authorization": f"Bearer {stack.api_key()}", "content-type": "application/json"}
    answer = httpx2.post(f"{stack.relay}/v1/chat/completions", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_the_models_listed_are_those_the_key_may_use(stack: Stack, llm: str) -> None:
    """Own group, allow-list applied, disabled channels out."""
    group, wanted, other, off = stack.group(), unique("yes"), unique("no"), unique("yes")
    for name in (wanted, other):
        stack.channel(llm, name, groups=[group])
    stack.channel(llm, off, groups=[group], status="DISABLED")
    listed = stack.openai(stack.api_key(group, model_allow_list=["yes-*"])).models.list()
    assert [model.id for model in listed] == [wanted]


def test_a_fallback_group_serves_when_no_channel_of_the_own_group_can_be_asked(
    stack: Stack, llm: str, model: str
) -> None:
    """Four strict channels of another format, and one that is down, hide no other group."""
    name, group = unique("model"), stack.group()
    with upstreams.answering(200, {}) as unasked:
        for _ in range(4):
            stack.channel(unasked.url, name, groups=[group], provider="anthropic", strict=True, priority=5)
        stack.channel("http://127.0.0.1:9/v1", name, groups=[group])
        key = stack.api_key(group, fallback_groups=["default"])
        body = {"model": name, "messages": [{"role": "user", "content": "hi"}], "logit_bias": {"1": 1}, "max_tokens": 4}
        send: dict[str, Any] = {"headers": {"authorization": f"Bearer {key}"}, "json": body, "timeout": 30}
        url = f"{stack.relay}/v1/chat/completions"
        with httpx2.Client(trust_env=False) as client:
            alone = client.post(url, **send)
            assert (alone.status_code, alone.json()["error"]["reason"]) == (502, "UPSTREAM_UNREACHABLE")
            assert "(1 tried)" in alone.text
            stack.channel(llm, name, groups=["default"], model_mapping={name: model})
            answer = client.post(url, **send)
        assert (answer.status_code, answer.headers["x-trunkline-attempts"]) == (200, "2"), answer.text
        assert not unasked.requests
