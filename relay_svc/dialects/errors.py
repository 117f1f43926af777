"""Errors in every dialect: read out of an upstream's answer, and written in the client's own envelope.

    kind             OpenAI                         Anthropic                      Google
    ──────────────   ────────────────────────────   ────────────────────────────   ─────────────────────────
    invalid          400 invalid_request_error      400 invalid_request_error      400 INVALID_ARGUMENT
    authentication   401 authentication_error       401 authentication_error       401 UNAUTHENTICATED
    billing          402 insufficient_quota         402 billing_error              429 RESOURCE_EXHAUSTED
    permission       403 permission_error           403 permission_error           403 PERMISSION_DENIED
    not found        404 not_found_error            404 not_found_error            404 NOT_FOUND
    conflict         409 conflict_error             409 invalid_request_error      409 ABORTED
    too large        413 request_too_large          413 request_too_large          413 INVALID_ARGUMENT
    rate limit       429 rate_limit_error           429 rate_limit_error           429 RESOURCE_EXHAUSTED
    timeout          504 timeout_error              504 timeout_error              504 DEADLINE_EXCEEDED
    overloaded       503 overloaded_error           529 overloaded_error           503 UNAVAILABLE
    upstream         502 server_error               500 api_error                  500 INTERNAL

The law: pure. Reading never raises: a body that is no JSON gives a kind by its status and a sentence of ours. A code of the
provider's own is kept, and says more than its status.
"""

from typing import Any, Final, NamedTuple

import msgspec

from relay_svc.dialects.answer import Failure, Kind
from relay_svc.dialects.form import Dialect
from relay_svc.dialects.members import encode

LONGEST: Final = 4096
"""Longest message passed on, in characters."""
_WORD: Final = 64


class _Words(NamedTuple):
    openai: tuple[int, str]
    anthropic: tuple[int, str]
    google: tuple[int, str]


_WORDS: Final = {
    Kind.INVALID: _Words((400, "invalid_request_error"), (400, "invalid_request_error"), (400, "INVALID_ARGUMENT")),
    Kind.AUTHENTICATION: _Words((401, "authentication_error"), (401, "authentication_error"), (401, "UNAUTHENTICATED")),
    Kind.BILLING: _Words((402, "insufficient_quota"), (402, "billing_error"), (429, "RESOURCE_EXHAUSTED")),
    Kind.PERMISSION: _Words((403, "permission_error"), (403, "permission_error"), (403, "PERMISSION_DENIED")),
    Kind.NOT_FOUND: _Words((404, "not_found_error"), (404, "not_found_error"), (404, "NOT_FOUND")),
    Kind.CONFLICT: _Words((409, "conflict_error"), (409, "invalid_request_error"), (409, "ABORTED")),
    Kind.TOO_LARGE: _Words((413, "request_too_large"), (413, "request_too_large"), (413, "INVALID_ARGUMENT")),
    Kind.RATE_LIMIT: _Words((429, "rate_limit_error"), (429, "rate_limit_error"), (429, "RESOURCE_EXHAUSTED")),
    Kind.TIMEOUT: _Words((504, "timeout_error"), (504, "timeout_error"), (504, "DEADLINE_EXCEEDED")),
    Kind.OVERLOADED: _Words((503, "overloaded_error"), (529, "overloaded_error"), (503, "UNAVAILABLE")),
    Kind.UPSTREAM: _Words((502, "server_error"), (500, "api_error"), (500, "INTERNAL")),
}
_OF_STATUS: Final = {
    401: Kind.AUTHENTICATION,
    402: Kind.BILLING,
    403: Kind.PERMISSION,
    404: Kind.NOT_FOUND,
    408: Kind.TIMEOUT,
    409: Kind.CONFLICT,
    413: Kind.TOO_LARGE,
    429: Kind.RATE_LIMIT,
    503: Kind.OVERLOADED,
    504: Kind.TIMEOUT,
    529: Kind.OVERLOADED,
}
_OF_WORD: Final = {word[1].lower(): kind for kind, words in _WORDS.items() for word in words} | {
    # Words that several kinds share, or that only some providers say.
    "invalid_argument": Kind.INVALID,
    "invalid_request_error": Kind.INVALID,
    "failed_precondition": Kind.INVALID,
    "out_of_range": Kind.INVALID,
    "invalid_prompt": Kind.INVALID,
    "context_length_exceeded": Kind.INVALID,
    "invalid_api_key": Kind.AUTHENTICATION,
    "api_key_invalid": Kind.AUTHENTICATION,
    "model_not_found": Kind.NOT_FOUND,
    "resource_exhausted": Kind.RATE_LIMIT,
    "rate_limit_exceeded": Kind.RATE_LIMIT,
    "unavailable": Kind.OVERLOADED,
    "internal": Kind.UPSTREAM,
    "unknown": Kind.UPSTREAM,
    "api_error": Kind.UPSTREAM,
}
_UNREADABLE: Final = "the upstream answered with an error and did not say which"


def kind_of(status: int, *words: str) -> Kind:
    """Tell the kind of an error: by the provider's words first, then by its status."""
    for word in words:
        kind = _OF_WORD.get(word.lower())
        if kind is not None and not (kind is Kind.INVALID and status in _OF_STATUS):  # it is filed under everything
            return kind
    if 400 <= status < 500:  # noqa: PLR2004 - HTTP
        return _OF_STATUS.get(status, Kind.INVALID)
    return _OF_STATUS.get(status, Kind.UPSTREAM)


def read_error(status: int, body: bytes) -> Failure:
    """Read an upstream's error answer, whatever its dialect. Never raises."""
    try:
        answer: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        answer = None
    if isinstance(answer, list) and answer:
        answer = answer[0]
    if not isinstance(answer, dict):
        return Failure(kind_of(status), _UNREADABLE, status=status)
    error = answer.get("error")
    if isinstance(error, dict):
        return failure_of(error, status)
    if isinstance(error, str):
        answer = {**answer, "message": error}
    return failure_of(answer, status)


def failure_of(error: dict[str, Any], status: int = 0) -> Failure:
    """Read an error object, whatever its dialect. Never raises."""
    reason, code, own, type_ = (
        _reason(error.get("details")),
        _word(error.get("code")),
        _word(error.get("status")),
        _word(error.get("type")),
    )
    number = error.get("code")
    if not status and type(number) is int and 400 <= number < 600:  # noqa: PLR2004 - HTTP
        status = number
    message = error.get("message")
    return Failure(
        kind_of(status, reason, code, own, type_),
        message[:LONGEST] if isinstance(message, str) and message else _UNREADABLE,
        code=reason or code or own or type_,
        status=status,
        param=_word(error.get("param")),
    )


def envelope(dialect: Dialect, failure: Failure, request_id: str = "") -> tuple[int, dict[str, Any]]:
    """Give an error's status and envelope in a client's dialect."""
    words = _WORDS[failure.kind]
    message, code = failure.message or _UNREADABLE, failure.code
    if dialect is Dialect.ANTHROPIC:
        status, type_ = words.anthropic
        said: dict[str, Any] = {"type": type_, "message": message}
        if failure.reason:
            said["reason"] = failure.reason
        body: dict[str, Any] = {"type": "error", "error": said}
        if request_id:
            body["request_id"] = request_id
        return status, body
    if dialect is Dialect.GEMINI:
        status, name = words.google
        error: dict[str, Any] = {"code": status, "message": message, "status": name}
        reason = failure.reason or (code if code != name else "")
        if reason or request_id:
            error["details"] = [_error_info(reason or name, request_id)]
        return status, {"error": error}
    status, type_ = words.openai
    error = {"message": message, "type": type_, "param": failure.param or None, "code": code or None}
    if failure.reason:
        error["reason"] = failure.reason
    if request_id:
        error["request_id"] = request_id
    return status, {"error": error}


def _error_info(reason: str, request_id: str) -> dict[str, Any]:
    info: dict[str, Any] = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "trunkline",
    }
    if request_id:
        info["metadata"] = {"request_id": request_id}
    return info


def write_error(dialect: Dialect, failure: Failure, request_id: str = "") -> tuple[int, bytes]:
    """Write an error as a whole answer: its status and body."""
    status, body = envelope(dialect, failure, request_id)
    return status, encode(body)


def _reason(details: object) -> str:
    # google.rpc.ErrorInfo says API_KEY_INVALID where the status says only INVALID_ARGUMENT.
    if not isinstance(details, list):
        return ""
    return next(filter(None, (_word(entry.get("reason")) for entry in details if isinstance(entry, dict))), "")


def _word(value: object) -> str:
    return value[:_WORD] if isinstance(value, str) and not value.isdigit() else ""
