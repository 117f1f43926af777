"""How long an upstream asks to be left alone.

The law: pure, and never raises: what cannot be read, and what is negative, says nothing. Milliseconds are believed before
seconds, headers before the body.
"""

from collections.abc import Iterable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

LONGEST: Final = 24 * 3600.0
"""Seconds; more is as good as for ever."""


def retry_after(headers: Iterable[tuple[bytes, bytes]], body: bytes, now: float) -> float | None:
    """Read it in seconds; `now` is the time in seconds since the epoch."""
    said = {name.lower(): value.decode("latin-1").strip() for name, value in headers}
    milliseconds = _number(said.get(b"retry-after-ms", ""))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    text = said.get(b"retry-after", "")
    if not text:
        return _of_google(body)
    seconds = _number(text)
    return _bounded(seconds if seconds is not None else _until(text, now))


def _number(text: str) -> float | None:
    # Digits of other scripts, infinity and exponents are numbers to Python too.
    return float(text) if text.isascii() and text.replace(".", "", 1).isdigit() and len(text) < 20 else None  # noqa: PLR2004


def _until(date: str, now: float) -> float | None:
    try:
        when = parsedate_to_datetime(date)
        # Without a zone it would be this machine's; HTTP's dates are Greenwich's.
        return max(0.0, (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _bounded(seconds: float | None) -> float | None:
    return None if seconds is None else min(seconds, LONGEST)


def _of_google(body: bytes) -> float | None:
    if b"retryDelay" not in body:
        return None
    try:
        answer: Any = msgspec.json.decode(body)
        details = (answer[0] if isinstance(answer, list) else answer)["error"]["details"]
        delays = [entry["retryDelay"] for entry in details if "retryDelay" in entry]
        return _bounded(_number(delays[0].removesuffix("s")))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError, AttributeError):
        return None
