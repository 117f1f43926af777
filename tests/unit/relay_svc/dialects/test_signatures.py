"""Proofs of reasoning on their way through clients of other dialects."""

import base64
import json

import pytest

from relay_svc.dialects import Dialect, Losses, Target, read_request, write_request
from relay_svc.dialects.form import Signature
from relay_svc.dialects.signatures import UNSIGNED, has_foreign, known, shown
from tests.unit.relay_svc.dialects.features import ANTHROPIC, CHAT, GEMINI, RESPONSES, claude, says, text

SECRET = base64.b64encode(bytes(range(48))).decode()


@pytest.mark.parametrize("client", [RESPONSES, ANTHROPIC, GEMINI])
@pytest.mark.parametrize("home", Dialect)
def test_a_proof_is_known_again(client: Dialect, home: Dialect) -> None:
    """Its own dialect's client sees it as it is; another's sees a mark; both give it back whole."""
    signature = Signature(home, SECRET)
    text_shown = shown(signature, client)
    assert known(text_shown, client) == signature
    assert (text_shown == SECRET) is (home is client)
    assert has_foreign(json.dumps({"signature": text_shown}).encode()) is (home is not client)
    if client is GEMINI:
        base64.b64decode(text_shown, validate=True)  # a field of bytes there


def test_nothing_stays_nothing() -> None:
    """No proof, one that only fills its place, one of a home that is unknown here."""
    assert shown(None, ANTHROPIC) == ""
    for absent in ("", UNSIGNED, "trunkline/martian/x"):
        assert known(absent, ANTHROPIC) is None


def thinking(signature: str) -> bytes:
    """Write a conversation whose model had thought."""
    thought = {"type": "thinking", "thinking": "Hm.", "signature": signature}
    turns = says("user", [text("Hi")]), says("assistant", [thought, text("Hello.")]), says("user", [text("And?")])
    return json.dumps(claude(*turns)).encode()


@pytest.mark.parametrize("home", [RESPONSES, ANTHROPIC, GEMINI])
@pytest.mark.parametrize("upstream", Dialect)
def test_a_proof_reaches_only_the_provider_that_made_it(home: Dialect, upstream: Dialect) -> None:
    """Any other would refuse the whole request: the reasoning is left out there, and named."""
    value = f"rs_1|{SECRET}" if home is RESPONSES else SECRET
    losses = Losses()
    request = read_request(ANTHROPIC, thinking(shown(Signature(home, value), ANTHROPIC)), losses)
    written = write_request(upstream, request, Target("m"), losses)
    assert (SECRET.encode() in written) is (home is upstream)
    assert b"trunkline" not in written
    assert losses.names == (() if home is upstream else ("thinking",))


@pytest.mark.parametrize("upstream", [ANTHROPIC, CHAT])
def test_reasoning_without_a_proof_is_not_sent_back(upstream: Dialect) -> None:
    """As models give it whose dialect has no proofs."""
    losses = Losses()
    written = write_request(upstream, read_request(ANTHROPIC, thinking(UNSIGNED), losses), Target("m"), losses)
    assert b"Hm." not in written
    assert losses.names == ("thinking",)


def test_a_calls_proof_is_carried_where_geminis_own_chat_face_has_it() -> None:
    """Clients that keep `extra_content` send it back, and Gemini gets it."""
    call = {
        "id": "1",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": SECRET}},
    }
    body = {"model": "m", "messages": [says("user", "x"), {"role": "assistant", "tool_calls": [call]}]}
    losses = Losses(strict=True)
    request = read_request(CHAT, json.dumps(body).encode(), losses)
    written = json.loads(write_request(GEMINI, request, Target("m"), losses))
    assert written["contents"][1]["parts"][0]["thoughtSignature"] == SECRET
