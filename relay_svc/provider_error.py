"""Reads why an upstream refused out of the body of its answer.

The law: pure, and never raises: a body that is no JSON, or says nothing known, gives empty words. Known shapes:
`{"error": {"code", "type", "status"}}` (OpenAI, Anthropic, Gemini), a list of those (Gemini), `{"error": "text"}`,
`{"code", "type"}` at the top, and the numbers of vendors: `{"code": 4100, "msg"}` (Coze: `coze_4100`), `{"base_resp":
{"status_code": 1008}}` (MiniMax: `minimax_1008`), `{"error": {"code": "1113"}}` (Zhipu) and `{"code": 20012, "message"}`
(SiliconFlow), which are told as they are. A number of three digits is the status over again.
"""

from typing import Any, Final

import msgspec

_WORD: Final = 64
"""Longest code taken, in characters: it becomes a log field and travels in outcomes."""
_STATUS_DIGITS: Final = 3


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
    if (own := _vendors_own(answer)) is not None:
        return own, ""
    error = answer.get("error", answer)
    if not isinstance(error, dict):
        error = answer
    code = _detail(error.get("details")) or _word(error.get("code")) or _word(error.get("status"))
    return code or _number(error.get("code")), _word(error.get("type"))


def _vendors_own(answer: dict[str, Any]) -> str | None:
    code = answer.get("code")
    if "msg" in answer and type(code) is int and code:
        return f"coze_{code}"[:_WORD]
    base = answer.get("base_resp")
    status = base.get("status_code") if isinstance(base, dict) else None
    return f"minimax_{status}"[:_WORD] if type(status) is int and status else None


def _number(value: object) -> str:
    text = str(value) if type(value) in (int, str) else ""
    return text if text.isascii() and text.isdigit() and _STATUS_DIGITS < len(text) <= _WORD else ""


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
