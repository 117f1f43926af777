"""Which web pages of other origins may ask the relay (CORS), and what their browsers are told.

Law: pure. An origin is compared byte for byte with those that were set; nothing of a request but that and the names it asks
for is said again. Cookies play no part here, so `*` lets any page ask that has an API key.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

_ANY: Final = b"*"
_MAX_AGE: Final = 7200
"""Seconds for which a browser remembers what it was told: the most that Chromium does."""
_NAMES: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}(?: ?, ?[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}){0,63}")
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]{0,31}://[^/?#@\s]{1,255}")
EXPOSED: Final = (
    "x-request-id, request-id, retry-after, retry-after-ms, x-should-retry, x-trunkline-attempts, x-trunkline-channel-id, "
    "x-trunkline-degraded, x-trunkline-estimated, x-trunkline-lost, x-trunkline-overhead-ms, x-trunkline-revision, "
    "openai-processing-ms, openai-version, x-ratelimit-limit-requests, x-ratelimit-limit-tokens, "
    "x-ratelimit-remaining-requests, x-ratelimit-remaining-tokens, x-ratelimit-reset-requests, x-ratelimit-reset-tokens"
)
"""Headers of answers that a page may read."""


def origin_fault(texts: Sequence[str]) -> str | None:
    """Say which setting is no origin."""
    for text in texts:
        if text != "*" and not _ORIGIN.fullmatch(text):
            return f"{text!r} is neither * nor an origin such as https://app.example.com, without a path"
    return None


class Cors:
    """What is told to browsers; the origins are as they were set."""

    def __init__(self, origins: Sequence[str]) -> None:
        """Take the origins, or `*`."""
        self._origins = frozenset(origin.encode() for origin in origins)
        self._any = _ANY in self._origins

    def lines(self, origin: bytes) -> bytes:
        """Give the header lines of every answer to a page of an origin, each with its end."""
        vary = b"" if self._any else b"vary: Origin\r\n"
        allowed = self._allowed(origin)
        if not allowed:
            return vary
        exposed = EXPOSED.encode()
        return b"access-control-allow-origin: %b\r\naccess-control-expose-headers: %b\r\n%b" % (allowed, exposed, vary)

    def preflight(self, method: str, header: Callable[[bytes], bytes]) -> list[tuple[bytes, bytes]] | None:
        """Answer a browser that asks before it asks; None when it does not, or may not."""
        if method != "OPTIONS" or not header(b"access-control-request-method"):
            return None
        if not self._allowed(header(b"origin")):
            return None
        told = [
            (b"access-control-allow-methods", b"GET, HEAD, POST"),
            (b"access-control-max-age", b"%d" % _MAX_AGE),
            (b"vary", b"Access-Control-Request-Headers"),
        ]
        wanted = header(b"access-control-request-headers")
        if _NAMES.fullmatch(wanted):
            told.append((b"access-control-allow-headers", wanted))
        return told

    def _allowed(self, origin: bytes) -> bytes:
        if not origin:
            return b""
        if self._any:
            return _ANY
        return origin if origin in self._origins else b""
