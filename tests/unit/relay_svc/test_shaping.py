"""What a channel changes on the way up, and what it must not."""

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.operations import Format, Operation
from relay_svc.plan import NO_SHAPING, Shaping
from relay_svc.providers import Asked, Call, Target, how_to_ask
from relay_svc.shaping import Shaped, ShapingFault, overrides_of, shape, shown_status, upstream_headers
from relay_svc.usage_asked import without_usage
from trunkline.secret import Secret

PATH = "/v1/chat/completions"
OPERATIONS = {
    Format.OPENAI_CHAT: Operation.CHAT,
    Format.OPENAI_RESPONSES: Operation.RESPONSES,
    Format.ANTHROPIC: Operation.MESSAGES,
    Format.GEMINI: Operation.GENERATE,
}


def call(provider: str = "openai", written: Format = Format.OPENAI_CHAT, *, stream: bool = False) -> Call:
    """How a provider is asked for a conversation in a format of its own."""
    target = Target(provider, "https://u.example/v1", "gpt-4o", Secret("sk-secret"))
    answer = how_to_ask(target, Asked(OPERATIONS[written], written, stream))
    assert isinstance(answer, Call)
    return answer


def shaped(request: dict[str, Any], made: Call, shaping: Shaping = NO_SHAPING, overrides: str = "") -> dict[str, Any]:
    """The body that goes up."""
    body = shape(json.dumps(request).encode(), made, shaping, overrides_of(overrides), PATH).body
    return json.loads(body)  # type: ignore[no-any-return]


# ---------------------------------------------------------------- untouched bytes

BODIES = st.dictionaries(st.text(max_size=6), st.integers() | st.text(max_size=6) | st.lists(st.booleans(), max_size=2))


@given(
    BODIES,
    st.integers(0, 4),
    st.sampled_from(["openai", "openai-compatible", "anthropic", "gemini", "mistral", "coze"]),
)
def test_where_nothing_is_to_be_changed_the_same_bytes_come_back(
    members: dict[str, Any], indent: int, provider: str
) -> None:
    """The client's own, not a copy that says the same."""
    body = json.dumps({"messages": [], "n": 1.50, **members}, indent=indent).encode()
    assert shape(body, call(provider), NO_SHAPING, overrides_of(""), PATH).body is body


def test_numbers_and_nested_values_stay_as_they_were_written() -> None:
    """Only the member that changes is written anew."""
    body = b'{"temperature": 1.00, "big": 12345678901234567890123, "nested": {"a" :  1}, "messages": []}'
    out = shape(body, call(), NO_SHAPING, overrides_of('{"top_p": 0.5}'), PATH).body
    assert b"1.00" in out
    assert b"12345678901234567890123" in out
    assert b'{"a" :  1}' in out
    assert json.loads(out)["top_p"] == 0.5


# ---------------------------------------------------------------- quirks


def test_a_vendor_is_told_in_the_words_it_knows() -> None:
    """Members are renamed or left out only for those that are known not to know them."""
    request = {
        "max_completion_tokens": 5,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": '"developer"'}],
    }
    sent = shaped(request, call("mistral"))
    assert (sent["max_tokens"], "max_completion_tokens" in sent, "stream_options" in sent) == (5, False, False)
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert shaped(request, call("openai")) == request
    assert shaped(request, call("nobody-knows")) == request
    assert shaped({**request, "max_tokens": 3}, call("mistral"))["max_tokens"] == 3


def test_words_that_stand_in_a_text_are_no_members() -> None:
    """What is found by searching is decided by reading."""
    body = json.dumps({"messages": [{"role": "user", "content": 'say "stream_options" and "developer"'}]}).encode()
    assert shape(body, call("mistral"), NO_SHAPING, overrides_of(""), PATH).body is body


# ---------------------------------------------------------------- the system prompt

PROMPT = Shaping(system_prompt="P")
BEFORE = Shaping(system_prompt="P", prepends_prompt=True)
USER = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("written", "provider", "request_", "by_default", "before"),
    [
        (
            Format.OPENAI_CHAT,
            "openai",
            {"messages": [USER]},
            {"messages": [{"role": "system", "content": "P"}, USER]},
            {"messages": [{"role": "system", "content": "P"}, USER]},
        ),
        (
            Format.OPENAI_CHAT,
            "openai",
            {"messages": [{"role": "system", "content": "S"}, USER]},
            None,
            {"messages": [{"role": "system", "content": "P\n\nS"}, USER]},
        ),
        (
            Format.OPENAI_CHAT,
            "openai",
            {"messages": [{"role": "developer", "content": [{"type": "text", "text": "S"}]}]},
            None,
            {
                "messages": [
                    {"role": "developer", "content": [{"type": "text", "text": "P"}, {"type": "text", "text": "S"}]}
                ]
            },
        ),
        (
            Format.OPENAI_CHAT,
            "openai",
            {"messages": [USER, {"role": "system", "content": "S"}]},
            None,
            {"messages": [{"role": "system", "content": "P"}, USER, {"role": "system", "content": "S"}]},
        ),
        (Format.OPENAI_CHAT, "openai", {"messages": "x"}, None, None),
        (
            Format.OPENAI_RESPONSES,
            "openai",
            {"input": "x"},
            {"input": "x", "instructions": "P"},
            {"input": "x", "instructions": "P"},
        ),
        (Format.OPENAI_RESPONSES, "openai", {"instructions": "S"}, None, {"instructions": "P\n\nS"}),
        (
            Format.OPENAI_RESPONSES,
            "openai",
            {"input": [{"role": "developer", "content": "S"}]},
            None,
            {"input": [{"role": "developer", "content": "S"}], "instructions": "P"},
        ),
        (Format.ANTHROPIC, "anthropic", {"messages": [USER]}, {"messages": [USER], "system": "P"}, None),
        (Format.ANTHROPIC, "anthropic", {"system": "S"}, None, {"system": "P\n\nS"}),
        (
            Format.ANTHROPIC,
            "anthropic",
            {"system": [{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}]},
            None,
            {
                "system": [
                    {"type": "text", "text": "P"},
                    {"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}},
                ]
            },
        ),
        (
            Format.GEMINI,
            "gemini",
            {"contents": []},
            {"contents": [], "systemInstruction": {"parts": [{"text": "P"}]}},
            None,
        ),
        (
            Format.GEMINI,
            "gemini",
            {"system_instruction": {"parts": [{"text": "S"}]}},
            None,
            {"system_instruction": {"parts": [{"text": "P"}, {"text": "S"}]}},
        ),
    ],
)
def test_the_channels_prompt_stands_in_or_goes_before(
    written: Format,
    provider: str,
    request_: dict[str, Any],
    by_default: dict[str, Any] | None,
    before: dict[str, Any] | None,
) -> None:
    """In each format's own place; None: as it came (or, for before, as by default)."""
    made = call(provider, written)
    assert shaped(request_, made, PROMPT) == (by_default or request_)
    assert shaped(request_, made, BEFORE) == (before or by_default or request_)


def test_a_prompt_is_for_conversations_only() -> None:
    """An embedding has no system."""
    made = replace(call(), operation=Operation.EMBED, format=Format.OPENAI)
    assert shaped({"input": "x"}, made, BEFORE) == {"input": "x"}


# ---------------------------------------------------------------- usage


def asked(body: bytes, provider: str = "openai") -> Shaped:
    """A stream's body as it goes up."""
    return shape(body, call(provider, stream=True), NO_SHAPING, overrides_of(""), PATH)


def test_a_stream_that_does_not_ask_for_usage_is_made_to_and_the_client_is_spared_it() -> None:
    """Spliced in: the rest stays byte for byte."""
    out = asked(b' {"model":"m", "stream": true}')
    assert out.hides_usage
    assert out.body == b' {"stream_options":{"include_usage":true},"model":"m", "stream": true}'
    assert json.loads(asked(b"{}").body) == {"stream_options": {"include_usage": True}}
    assert asked(b'{"messages":"\\u4e2d"}').body == b'{"stream_options":{"include_usage":true},"messages":"\\u4e2d"}'
    assert asked(b'{"messages":"\\"stream_options\\""}').body.startswith(b'{"stream_options":{')


def test_a_stream_that_asks_for_usage_gets_it() -> None:
    """And its bytes are its own."""
    body = b'{"stream_options": {"include_usage": true}}'
    assert asked(body) == Shaped(body, hides_usage=False)
    escaped = b'{"stream\\u005foptions": {"include_usage": true}}'
    assert asked(escaped) == Shaped(escaped, hides_usage=False)
    other = asked(b'{"stream_options": {"include_usage": false, "include_obfuscation": false}}')
    assert other.hides_usage
    assert json.loads(other.body)["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert json.loads(asked(b'{"stream_options": null}').body)["stream_options"] == {"include_usage": True}


def test_upstreams_that_do_not_know_the_question_are_not_asked() -> None:
    """Nor are those that tell unasked, nor answers that are no stream."""
    body = b'{"messages":[]}'
    assert asked(body, "mistral") == asked(body, "anthropic") == asked(body, "gemini") == Shaped(body)
    assert shape(body, call(), NO_SHAPING, overrides_of(""), PATH) == Shaped(body)


TOLD = b'data: {"id":"1","choices":[],"usage":{"prompt_tokens":1}}\n\n'
PIECE = b'data: {"choices":[{"delta":{"content":"\\"usage\\""}}],"usage":null}\n\n'


@pytest.mark.parametrize(
    "kept",
    [
        PIECE,
        b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}\n\n',
        b'data: {"choices":[],"prompt_filter_results":[],"usage":null}\n\n',
        b"data: [DONE]\n\n",
        b': "usage"\n\n',
        b'data: {"choices":[],"usage":{"half of an event that was too large',
        b'event: x\ndata: {"choices":[],"usage":{}}\n\n',
    ],
)
def test_only_the_chunk_that_tells_usage_and_nothing_else_is_hidden(kept: bytes) -> None:
    """All other bytes pass, whatever ends their lines."""
    hide = without_usage
    assert hide(kept) == kept
    assert hide(PIECE + TOLD + kept) == PIECE + kept
    crlf = TOLD.replace(b"\n", b"\r\n")
    assert hide(crlf + PIECE) == PIECE


@given(st.binary(max_size=120))
def test_no_bytes_make_the_filter_raise(data: bytes) -> None:
    """An upstream may say anything."""
    without_usage(b'data: {"usage"' + data + b"\n\n" + data)


# ---------------------------------------------------------------- overrides


def test_overrides_have_the_last_word() -> None:
    """Over the client, the vendor's quirks, and the relay itself."""
    sent = shaped(
        {"temperature": 1, "messages": [USER]}, call(stream=True), PROMPT, '{"temperature": 0, "messages": []}'
    )
    assert sent == {"temperature": 0, "messages": [], "stream_options": {"include_usage": True}}


def test_overrides_that_are_meant_for_other_models_or_paths_change_nothing() -> None:
    """Not a byte."""
    body = b'{"messages" :[]}'
    for when in ({"model": "claude*"}, {"path": "/v1/embeddings"}):
        text = json.dumps([{"op": "set", "path": "a", "value": 1, "when": when}])
        assert shape(body, call(), NO_SHAPING, overrides_of(text), PATH).body is body


def test_what_cannot_be_shaped_is_a_fault_of_its_own_kind() -> None:
    """The channel's, or the body's."""
    with pytest.raises(ShapingFault):
        overrides_of("[1]")
    for body in (b"[]", b"{", b"", b"\xff"):
        with pytest.raises(ShapingFault):
            shape(body, call(), PROMPT, overrides_of(""), PATH)


# ---------------------------------------------------------------- headers, statuses

CLIENT = [
    (b"authorization", b"Bearer client"),
    (b"Anthropic-Version", b"2099-01-01"),
    (b"anthropic-beta", b"b"),
    (b"openai-beta", b"o"),
    (b"x-goog-user-project", b"g"),
    (b"user-agent", b"ua"),
    (b"content-type", b"application/json"),
]


def test_each_upstream_gets_its_own_familys_headers_and_its_own_credentials() -> None:
    """What the client says to Anthropic is not for Google."""
    to_anthropic = dict(upstream_headers(CLIENT, "r", call("anthropic", Format.ANTHROPIC), {}))
    assert to_anthropic[b"anthropic-version"] == b"2099-01-01"
    assert to_anthropic[b"anthropic-beta"] == b"b"
    assert to_anthropic[b"x-api-key"] == b"sk-secret"
    assert not {b"authorization", b"openai-beta", b"x-goog-user-project"} & to_anthropic.keys()
    to_openai = dict(upstream_headers(CLIENT, "r", call("openai"), {}))
    assert to_openai[b"authorization"] == b"Bearer sk-secret"
    assert to_openai[b"openai-beta"] == b"o"
    assert not any(name.startswith((b"anthropic-", b"x-goog-")) for name in to_openai)
    bare = dict(upstream_headers([], "r", call("anthropic", Format.ANTHROPIC), {}))
    assert bare[b"anthropic-version"] == b"2023-06-01"


def test_the_channels_headers_win_and_those_it_removes_never_go() -> None:
    """Not even the relay's own."""
    sent = dict(
        upstream_headers(
            CLIENT, "r", call(), {"User-Agent": "mine", "X-A": "a"}, frozenset({"openai-beta", "x-request-id"})
        )
    )
    assert (sent[b"user-agent"], sent[b"x-a"]) == (b"mine", b"a")
    assert not {b"openai-beta", b"x-request-id"} & sent.keys()
    assert sent[b"accept-encoding"] == b"identity"


def test_a_status_is_shown_as_the_channel_maps_it() -> None:
    """After what follows from it was decided."""
    assert shown_status(429, Shaping(status_mapping={429: 503})) == 503
    assert shown_status(404, Shaping(status_mapping={429: 503})) == 404


@given(st.binary(max_size=60))
def test_no_body_makes_shaping_raise_anything_else(body: bytes) -> None:
    """A client may send anything; JSON was checked before, shapes were not."""
    for provider, written in [
        ("mistral", Format.OPENAI_CHAT),
        ("gemini", Format.GEMINI),
        ("anthropic", Format.ANTHROPIC),
    ]:
        for text in (body, b'{"messages":' + body + b',"stream_options":' + body + b"}"):
            with contextlib.suppress(ShapingFault):
                shape(text, call(provider, written, stream=True), BEFORE, overrides_of(""), PATH)
