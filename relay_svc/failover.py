"""What a failed attempt means: try the next candidate, or stop.

    what happened                                                    then
    ─────────────────────────────────────────────────────────────    ─────────────────────────────────
    no connection, or time ran out before the request was sent       next: nothing can have been done
    time ran out after the request was sent                          stop: it may be done, and billed,
                                                                     twice (unless the channel allows it)
    the connection broke, or no HTTP came, before the first byte     next: no answer can come of it
    a status of 300–399, 408, 429 or 500 and above                   next
    401, 402, 403, 404, 405, 407, 410, 413, 421, 451                 next, unless the code blames the caller
    400, 409, 415, 422 and the rest                                  stop, unless the code blames the upstream

The law: pure. A provider's own code is believed before its status, and `error.code` before `error.type`, since several
providers file a bad channel key under the type `invalid_request_error`. All of this holds only while the client has not
been sent a byte; after that nothing is tried again.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """How an attempt failed."""

    CONNECT_FAILED = "connect_failed"
    """No connection: refused, unreachable, no such host, TLS."""
    CONNECT_TIMEOUT = "connect_timeout"
    """A time limit ran out before the request was sent whole."""
    READ_TIMEOUT = "read_timeout"
    """A time limit ran out after the request was sent."""
    BROKEN_ANSWER = "broken_answer"
    """The connection broke before the answer was whole, or what came was no HTTP."""
    ANSWERED = "answered"
    """The upstream answered with a status that is no success."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt. `status` is 0 unless the upstream answered; `code` and `type` are its own words for why."""

    kind: Kind
    status: int = 0
    code: str = ""
    type: str = ""


class Verdict(StrEnum):
    """What to do now."""

    NEXT = "next"
    STOP = "stop"


_NEXT_ALWAYS: Final = frozenset({408, 429})
_UPSTREAMS_OWN: Final = frozenset({401, 402, 403, 404, 405, 407, 410, 413, 421, 451})
"""Statuses that speak of this upstream's account, models or reach unless a code says otherwise."""

UPSTREAM_FAULTS: Final = frozenset(
    {
        # The channel key, or the account behind it.
        "invalid_api_key",
        "incorrect_api_key",
        "api_key_invalid",
        "invalid_authentication",
        "authentication_error",
        "unauthorized",
        "unauthenticated",
        "permission_error",
        "permission_denied",
        "access_denied",
        "access_terminated",
        "account_deactivated",
        "account_suspended",
        "organization_restricted",
        "unsupported_country_region_territory",
        "billing_error",
        "billing_not_active",
        "billing_hard_limit_reached",
        "credit_balance_too_low",
        "insufficient_quota",
        "insufficient_balance",
        "quota_exceeded",
        "exceeded_current_quota_error",
        # The model is not there, or not for this account.
        "model_not_found",
        "model_not_available",
        "model_not_supported",
        "model_deprecated",
        "model_decommissioned",
        "model_unavailable",
        "invalid_model",
        "unsupported_model",
        "deploymentnotfound",
        "deployment_not_found",
        "not_found_error",
        # Its capacity.
        "rate_limit_exceeded",
        "rate_limit_error",
        "rate_limit_reached_error",
        "resource_exhausted",
        "overloaded_error",
        "engine_overloaded_error",
        "server_error",
        "internal_error",
        "api_error",
        "unavailable",
    }
)
"""Codes that blame the upstream's account, models or capacity: another candidate may well serve."""

CALLER_FAULTS: Final = frozenset(
    {
        "invalid_request",
        "invalid_request_error",
        "invalid_argument",
        "invalid_parameter",
        "invalid_parameter_error",
        "invalid_value",
        "invalid_type",
        "invalid_prompt",
        "invalid_json",
        "invalid_function_parameters",
        "invalid_image",
        "invalid_image_url",
        "invalid_image_format",
        "image_parse_error",
        "missing_required_parameter",
        "unknown_parameter",
        "unsupported_parameter",
        "unsupported_value",
        "array_above_max_length",
        "string_above_max_length",
        "integer_above_max_value",
        "integer_below_min_value",
        "decimal_above_max_value",
        "context_length_exceeded",
        "context_window_exceeded",
        "max_tokens_exceeded",
        "exceed_context_size_error",
        "request_too_large",
        "content_filter",
        "content_policy_violation",
        "responsibleaipolicyviolation",
        "data_inspection_failed",
        "moderation_blocked",
        "sensitive_words_detected",
        "validation_error",
        "unprocessable_entity_error",
    }
)
"""Codes that blame what the caller sent: every candidate would say the same."""

_COARSE: Final = frozenset({"invalid_request", "invalid_request_error"})
"""Types too coarse to overrule a 401 or a 404: a bad channel key is filed under them too."""


def decide(failure: Failure, *, repeat_after_timeout: bool = False) -> Verdict:
    """Tell what a failure means; `repeat_after_timeout` is the channel's word that doing it twice is no harm."""
    if failure.kind is Kind.READ_TIMEOUT:
        return Verdict.NEXT if repeat_after_timeout else Verdict.STOP
    if failure.kind is not Kind.ANSWERED:
        return Verdict.NEXT
    if failure.status in _NEXT_ALWAYS or failure.status >= 500 or failure.status < 400:  # noqa: PLR2004 - HTTP
        return Verdict.NEXT
    own = failure.status in _UPSTREAMS_OWN
    coarse = own and failure.type.lower() in _COARSE
    blamed = _blamed(failure.code) or (None if coarse else _blamed(failure.type))
    return blamed or (Verdict.NEXT if own else Verdict.STOP)


def _blamed(word: str) -> Verdict | None:
    word = word.lower()
    if word in UPSTREAM_FAULTS:
        return Verdict.NEXT
    return Verdict.STOP if word in CALLER_FAULTS else None
