"""Errors of every dialect, in every dialect."""

import json
from typing import Any

import pytest
from anthropic.types import ErrorResponse
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.dialects import Dialect, Failure, Kind, read_error, write_error
from relay_svc.dialects.errors import LONGEST
from tests.harness.fuzz import examples
from tests.unit.relay_svc.dialects.samples import ANTHROPIC, CHAT, GEMINI, RESPONSES

KEY_INVALID = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
READ: list[tuple[int, Any, Kind, str]] = [
    (401, {"error": {"message": "m", "code": "invalid_api_key"}}, Kind.AUTHENTICATION, "invalid_api_key"),
    (401, {"error": {"message": "m", "type": "invalid_request_error"}}, Kind.AUTHENTICATION, "invalid_request_error"),
    (400, {"error": {"message": "m", "type": "invalid_request_error", "code": None}}, Kind.INVALID, "invalid_request_error"),
    (429, {"error": {"message": "m", "code": "insufficient_quota"}}, Kind.BILLING, "insufficient_quota"),
    (404, {"error": {"message": "m", "code": "model_not_found"}}, Kind.NOT_FOUND, "model_not_found"),
    (529, {"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, Kind.OVERLOADED, "overloaded_error"),
    (402, {"type": "error", "error": {"type": "billing_error", "message": "m"}}, Kind.BILLING, "billing_error"),
    (400, {"error": {"message": "m", "status": "X", "details": [KEY_INVALID]}}, Kind.AUTHENTICATION, "API_KEY_INVALID"),
    (429, [{"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}], Kind.RATE_LIMIT, "RESOURCE_EXHAUSTED"),
    (503, {"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}}, Kind.OVERLOADED, "UNAVAILABLE"),
    (500, {"error": "m"}, Kind.UPSTREAM, ""),
    (422, {"message": "m"}, Kind.INVALID, ""),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind", "code"), READ)
def test_an_error_is_read_whatever_its_dialect(status: int, body: Any, kind: Kind, code: str) -> None:
    """The provider's own word says more than the status, and is kept."""
    failure = read_error(status, json.dumps(body).encode())
    assert (failure.kind, failure.code, failure.message, failure.status) == (kind, code, "m", status)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("dialect", Dialect)
def test_an_error_reads_as_the_same_kind_in_every_dialect(kind: Kind, dialect: Dialect) -> None:
    """What is written reads as what was meant, with a status that goes with it."""
    status, body = write_error(dialect, Failure(kind, "m"), "req_1")
    assert 400 <= status < 600
    shared = {(GEMINI, Kind.BILLING): Kind.RATE_LIMIT}  # Google has one word for both
    read = read_error(status, body)
    assert read.message == "m"
    assert read.kind is shared.get((dialect, kind), kind)


def test_envelopes_are_the_dialects_own() -> None:
    """As the API references show them."""
    failure = Failure(Kind.RATE_LIMIT, "slow down", code="rpm", param="model")
    openai = {"error": {"message": "slow down", "type": "rate_limit_error", "param": "model", "code": "rpm"}}
    for dialect in (CHAT, RESPONSES):
        assert write_error(dialect, failure) == (429, json.dumps(openai, separators=(",", ":")).encode())
    status, body = write_error(ANTHROPIC, Failure(Kind.OVERLOADED, "busy"), "req_1")
    assert status == 529
    assert ErrorResponse.model_validate_json(body).request_id == "req_1"
    assert json.loads(body) == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "busy"},
        "request_id": "req_1",
    }
    status, body = write_error(GEMINI, failure)
    error = json.loads(body)["error"]
    assert (error["code"], error["status"], error["message"]) == (429, "RESOURCE_EXHAUSTED", "slow down")
    assert error["details"][0]["reason"] == "rpm"


@given(st.integers(-1, 700), st.binary(max_size=60) | st.sampled_from([b"[" * 100_000, b'{"error":[]}', b"[[]]"]))
@examples(100)
def test_reading_an_error_never_raises(status: int, body: bytes) -> None:
    """A page in HTML, half a JSON, nothing at all: there is a kind and a sentence."""
    failure = read_error(status, body)
    assert failure.message
    assert failure.kind in Kind


def test_long_words_are_cut() -> None:
    """An upstream cannot make an error of any size."""
    failure = read_error(400, json.dumps({"error": {"message": "x" * 99_999, "code": "y" * 999}}).encode())
    assert (len(failure.message), len(failure.code)) == (LONGEST, 64)
