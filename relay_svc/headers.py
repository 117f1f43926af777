"""Which headers cross the relay, each way.

The law: pure. Hop-by-hop headers end here (RFC 9110, 7.6.1), those that `Connection` names too. Private ones do as well: what
a client says about itself or its credentials never reaches an upstream, and what an upstream says about the account behind
a channel never reaches a client. Framing is made anew on each side.

What becomes of a name is worked out once (the same few come with every request); a bounded number of names is remembered.
"""

from collections.abc import Iterable, Mapping
from typing import Final

Headers = list[tuple[bytes, bytes]]

_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_NOT_SENT_UP: Final = _HOP_BY_HOP | {
    # Credentials: the channel's own go instead.
    b"authorization",
    b"x-api-key",
    b"api-key",
    b"x-goog-api-key",
    b"cookie",
    b"openai-organization",
    b"openai-project",
    # Who the client is.
    b"forwarded",
    b"via",
    b"x-real-ip",
    b"x-client-ip",
    b"true-client-ip",
    b"origin",
    b"referer",
    # Made anew. Encodings too: the relay reads the ends of answers, so it asks for them as they are.
    b"host",
    b"content-length",
    b"content-encoding",
    b"accept-encoding",
    b"expect",
    b"x-request-id",
}
_NOT_SENT_UP_PREFIXES: Final = (b"x-forwarded-", b"cf-", b"x-trunkline-", b"sec-", b"access-control-")
_NOT_SENT_DOWN: Final = _HOP_BY_HOP | {
    # The account behind the channel.
    b"set-cookie",
    b"openai-organization",
    b"openai-project",
    b"anthropic-organization-id",
    b"www-authenticate",
    # The upstream's own site, which the client is not talking to.
    b"location",
    b"server",
    b"via",
    b"alt-svc",
    b"strict-transport-security",
    b"nel",
    b"report-to",
    b"content-security-policy",
    # Made anew.
    b"date",
    b"x-request-id",
    b"request-id",
}
_NOT_SENT_DOWN_PREFIXES: Final = (b"x-trunkline-", b"cf-", b"access-control-")


def with_own(
    client: Iterable[tuple[bytes, bytes]],
    request_id: str,
    credentials: Iterable[tuple[bytes, bytes]],
    overrides: Mapping[str, str],
) -> Headers:
    """Give the headers of an upstream request: the client's, ours over them, `overrides` over all but framing."""
    own: Headers = [(b"accept-encoding", b"identity"), (b"x-request-id", request_id.encode()), *credentials]
    passed = _end_to_end(client, _SENT_UP)
    replaced: set[bytes] = set()
    for name, _ in credentials:
        if name not in _NOT_SENT_UP:
            replaced.add(name)
    if overrides:
        ours = [(name.lower().encode(), value.encode()) for name, value in overrides.items()]
        set_here = {name for name, _ in ours}
        replaced |= set_here
        own = [pair for pair in own if pair[0] not in set_here]
        own += [pair for pair in ours if pair[0] not in _FRAMING]
    if replaced:
        passed = [pair for pair in passed if pair[0] not in replaced]
    passed += own
    return passed


_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"connection"})


def to_client(upstream: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Give the headers of an upstream's answer that the client gets."""
    return _end_to_end(upstream, _SENT_DOWN)


def first(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """Give the value of the first header of a lower-case name; empty when there is none."""
    for key, value in headers:
        if key == name or key.lower() == name:
            return value
    return b""


class _Names(dict[bytes, bytes | None]):
    """Each name in lower case; None when its header ends here. The first that are asked for are remembered."""

    def __init__(self, ending: frozenset[bytes], prefixes: tuple[bytes, ...]) -> None:
        self._ending, self._prefixes = ending, prefixes

    def __missing__(self, name: bytes) -> bytes | None:
        lower = name.lower()
        passed = None if lower in self._ending or lower.startswith(self._prefixes) else lower
        if len(name) <= _LONGEST_KEPT and len(self) < _MOST_KEPT:
            self[name] = passed
        return passed


_LONGEST_KEPT: Final = 64
"""Bytes of the longest name that is remembered."""
_MOST_KEPT: Final = 1024
_SENT_UP: Final = _Names(_NOT_SENT_UP, _NOT_SENT_UP_PREFIXES)
_SENT_DOWN: Final = _Names(_NOT_SENT_DOWN, _NOT_SENT_DOWN_PREFIXES)
_PLAIN_CONNECTION: Final = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"Close"})
"""What `Connection` says nearly always: it names no header."""


def _end_to_end(headers: Iterable[tuple[bytes, bytes]], sent: _Names) -> Headers:
    passed: Headers = []
    named: set[bytes] | None = None
    for name, value in headers:
        lowered = sent[name]
        if lowered is not None:
            passed.append((lowered, value))
        elif value not in _PLAIN_CONNECTION and name.lower() == b"connection":
            named = (named or set()) | {token.strip().lower() for token in value.split(b",")}
    return passed if named is None else [pair for pair in passed if pair[0] not in named]
