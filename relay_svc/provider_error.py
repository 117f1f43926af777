"""Reads why an upstream refused out of the body of its answer.

The law: pure, and never raises: a body that is no JSON, or says nothing known, gives empty words. Known shapes:
`{"error": {"code", "type", "status"}}` (OpenAI, Anthropic, Gemini), a list of those (Gemini), `{"error": "text"}`, and
`{"code", "type"}` at the top.
"""

from typing import Any, Final

import msgspec

_WORD: Final = 64
"""Longest code taken, in characters: it becomes a log field and travels in outcomes."""


def read(body: bytes) -> tuple[str, str]:
    """Give the provider's `code` and `type`; empty where it has none."""
    try:
        answer: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", ""
    if isinstance(answer, list) and answer:
        answer = answer[0]
    if not isinstance(answer, dict):
        return "", ""
    error = answer.get("error", answer)
    if not isinstance(error, dict):
        error = answer
    code = _detail(error.get("details")) or _word(error.get("code")) or _word(error.get("status"))
    return code, _word(error.get("type"))


def _detail(details: object) -> str:
    # google.rpc.ErrorInfo says API_KEY_INVALID where the status says only INVALID_ARGUMENT.
    reasons = (
        [_word(entry.get("reason")) for entry in details if isinstance(entry, dict)]
        if isinstance(details, list)
        else []
    )
    return next(filter(None, reasons), "")


def _word(value: object) -> str:
    # Numbers are the status over again.
    return value[:_WORD] if isinstance(value, str) and not value.isdigit() else ""
