"""The relay's own errors, as clients read them."""

import json

import pytest

from relay_svc import errors
from relay_svc.plan import PickRefused
from trunkline.errors import Reason

TABLE = {
    Reason.API_KEY_UNKNOWN: (401, "invalid_api_key"),
    Reason.API_KEY_DISABLED: (401, "invalid_api_key"),
    Reason.API_KEY_EXPIRED: (401, "invalid_api_key"),
    Reason.MODEL_NOT_ALLOWED: (403, "model_not_allowed"),
    Reason.ADDRESS_NOT_ALLOWED: (403, "address_not_allowed"),
    Reason.MODEL_UNKNOWN: (404, "model_not_found"),
    Reason.MODEL_NOT_IN_GROUP: (404, "model_not_found"),
    Reason.INVALID_FIELDS: (400, "invalid_fields"),
    Reason.NO_CHANNEL: (503, "no_channel"),
    Reason.UNVERIFIED: (503, "unverified"),
    Reason.NOT_READY: (503, "not_ready"),
    Reason.STALE: (503, "stale"),
}


@pytest.mark.parametrize("reason", TABLE)
def test_each_refusal_of_a_pick_has_its_status_and_code(reason: Reason) -> None:
    """The table of outcomes, with the reason, the revision and the request id beside OpenAI's own members."""
    refusal = errors.of_pick(PickRefused(reason, "the router's words", {"revision": "7"}))
    error = json.loads(refusal.body("r-1"))["error"]
    assert (refusal.status, error["code"]) == TABLE[reason]
    assert error["reason"] == reason
    assert error["message"] == "the router's words"
    assert error["revision"] == 7
    assert error["request_id"] == "r-1"
    assert error["type"] == ("server_error" if refusal.status >= 500 else "invalid_request_error")
    assert {"message", "type", "param", "code"} <= set(error)


def test_what_may_be_asked_again_says_when() -> None:
    """A proven no is not worth retrying, what cannot be proven is; 401 names its scheme."""
    unverified = dict(errors.of_pick(PickRefused(Reason.UNVERIFIED, "")).all_headers())
    flat = dict(errors.of_pick(PickRefused(Reason.NO_CHANNEL, "")).all_headers())
    unknown = dict(errors.of_pick(PickRefused(Reason.API_KEY_UNKNOWN, "")).all_headers())
    assert unverified[b"retry-after"] == b"1"
    assert b"retry-after" not in flat
    assert flat[b"x-should-retry"] == b"false"
    assert unknown[b"www-authenticate"] == b"Bearer"


@pytest.mark.parametrize("reason", [Reason.TOKEN_INVALID, Reason.SCOPE_MISSING, Reason.INTERNAL, None])
def test_what_a_client_cannot_help_shows_no_details(reason: Reason | None) -> None:
    """A relay whose own token is refused answers 500 and keeps the words to itself."""
    refusal = errors.of_pick(PickRefused(reason, "internal words"))
    assert refusal.status == 500
    assert b"internal words" not in refusal.body("r")
