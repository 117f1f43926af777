"""The relay's own refusals in the shape that each family of clients reads.

    OpenAI       {"error": {"message", "type", "param", "code"}}
    Anthropic    {"type": "error", "error": {"type", "message"}, "request_id"}
    Gemini       {"error": {"code", "message", "status", "details": [ErrorInfo]}}

The law: pure, one table from HTTP status to each family's word. A refusal has the same status in every shape, so that one
number means one thing in logs, metrics and balancers; and `reason`, `revision` and `request_id` are in every shape.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from relay_svc.operations import Format

DOMAIN: Final = "trunkline"
INVALID_REQUEST: Final = "invalid_request_error"
SERVER_ERROR: Final = "server_error"
_ERROR_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"
_SERVERS: Final = 500
"""The first status that is the server's fault."""

WORDS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("invalid_request_error", "INVALID_ARGUMENT"),
    401: ("authentication_error", "UNAUTHENTICATED"),
    402: ("billing_error", "FAILED_PRECONDITION"),
    403: ("permission_error", "PERMISSION_DENIED"),
    404: ("not_found_error", "NOT_FOUND"),
    405: ("invalid_request_error", "UNIMPLEMENTED"),
    408: ("timeout_error", "DEADLINE_EXCEEDED"),
    413: ("request_too_large", "INVALID_ARGUMENT"),
    415: ("invalid_request_error", "INVALID_ARGUMENT"),
    429: ("rate_limit_error", "RESOURCE_EXHAUSTED"),
    500: ("api_error", "INTERNAL"),
    502: ("api_error", "UNAVAILABLE"),
    503: ("overloaded_error", "UNAVAILABLE"),
    504: ("timeout_error", "DEADLINE_EXCEEDED"),
}
"""Anthropic's type and Google's status, by HTTP status."""
_OVERLOADED: Final = WORDS[503][0]
"""Claude Code repeats what is called so for minutes, whatever the headers say: only what repeating can mend is."""
_FLATLY: Final = WORDS[500][0]
"""What it is called instead."""


@dataclass(frozen=True, slots=True)
class Told:
    """A refusal as it is told."""

    status: int
    reason: str
    message: str
    code: str
    """OpenAI's own word where there is one, and the reason in lower case elsewhere."""
    param: str | None
    request_id: str
    revision: int | str | None = None
    again: bool = True
    """Whether repeating the request can mend it."""
    details: Mapping[str, str] | None = None
    """What Anthropic's SDKs tell this error by, and act upon."""


def envelope(written: Format, told: Told) -> bytes:
    """Write a refusal as the body of an answer."""
    match written:
        case Format.ANTHROPIC:
            return msgspec.json.encode(_anthropic(told))
        case Format.GEMINI:
            return msgspec.json.encode(_google(told))
        case _:
            return msgspec.json.encode({"error": _openai(told)})


def event(written: Format, told: Told) -> bytes:
    """Write a refusal as an event that ends a stream.

    The blank line first: an event too large to be held back may be open.
    """
    match written:
        case Format.ANTHROPIC:
            return b"\n\nevent: error\ndata: " + envelope(written, told) + b"\n\n"
        case Format.OPENAI_RESPONSES:
            # Flat as it is documented, and nested as OpenAI's servers send it: the SDK raises for the nested one alone.
            error = _openai(told)
            said = {"type": "error"} | {name: value for name, value in error.items() if name != "type"}
            said["error"] = error
            return b"\n\nevent: error\ndata: " + msgspec.json.encode(said) + b"\n\n"
        case _:
            return b"\n\ndata: " + envelope(written, told) + b"\n\n"


def _openai(told: Told) -> dict[str, Any]:
    error: dict[str, Any] = {
        "message": told.message,
        "type": INVALID_REQUEST if told.status < _SERVERS else SERVER_ERROR,
        "param": told.param,
        "code": told.code,
        "reason": told.reason,
        "request_id": told.request_id,
    }
    return error if told.revision is None else error | {"revision": told.revision}


def _anthropic(told: Told) -> dict[str, Any]:
    type_ = _words(told.status)[0]
    if type_ == _OVERLOADED and not told.again:
        type_ = _FLATLY
    error: dict[str, Any] = {"type": type_, "message": told.message, "reason": told.reason}
    if told.revision is not None:
        error["revision"] = told.revision
    if told.details is not None:
        error["details"] = told.details
    return {"type": "error", "error": error, "request_id": told.request_id}


def _google(told: Told) -> dict[str, Any]:
    metadata = {"request_id": told.request_id}
    if told.revision is not None:
        metadata["revision"] = str(told.revision)
    info = {"@type": _ERROR_INFO, "reason": told.reason, "domain": DOMAIN, "metadata": metadata}
    said = {"code": told.status, "message": told.message, "status": _words(told.status)[1], "details": [info]}
    return {"error": said}


def _words(status: int) -> tuple[str, str]:
    return WORDS.get(status) or WORDS[400 if status < _SERVERS else 500]
