"""Which headers cross the relay, each way.

The law: pure. Hop-by-hop headers end here (RFC 9110, 7.6.1), those that `Connection` names too. Upwards a header crosses when
it is allowed to: what a client, or a proxy before it, says of who it is reaches no upstream. Downwards it crosses unless it
tells of the account behind the channel, or steers a browser or a proxy. Framing is made anew on each side.

What becomes of a name is worked out once (the same few come with every request); a bounded number of names is remembered.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
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
_NEVER_SENT_UP: Final = _HOP_BY_HOP | {
    # Credentials: the channel's own go instead. The last two say who pays.
    b"authorization",
    b"x-api-key",
    b"api-key",
    b"x-goog-api-key",
    b"cookie",
    b"openai-organization",
    b"openai-project",
    # Made anew. Encodings too: the relay reads the ends of answers, so it asks for them as they are.
    b"host",
    b"content-length",
    b"content-encoding",
    b"accept-encoding",
    b"expect",
    b"x-request-id",
}
"""Whatever a channel lets through."""
_SENT_UP_NAMES: Final = frozenset(
    {
        # What is asked, and by which program.
        b"accept",
        b"accept-language",
        b"content-type",
        b"user-agent",
        b"x-app",
        b"originator",
        b"x-codex-beta-features",
        # So that an upstream does it once, and both sides find it again.
        b"idempotency-key",
        b"x-client-request-id",
        b"traceparent",
        b"tracestate",
        # Google's client libraries; its other names say who asks or who pays.
        b"x-goog-api-client",
        b"x-goog-request-params",
    }
)
"""What a client says of its request to an API. Anything else may say who it is, or steer what stands before the upstream."""
_SENT_UP_PREFIXES: Final = (b"openai-", b"anthropic-", b"x-stainless-")
_NOT_SENT_DOWN: Final = _HOP_BY_HOP | {
    # The account behind the channel, and its credentials, should an upstream echo them.
    b"openai-organization",
    b"openai-project",
    b"anthropic-organization-id",
    b"authorization",
    b"x-api-key",
    b"api-key",
    b"x-goog-api-key",
    b"cookie",
    b"www-authenticate",
    b"authentication-info",
    # What a browser does with the relay's own site and its other pages.
    b"clear-site-data",
    b"refresh",
    b"location",
    b"content-location",
    b"link",
    b"alt-svc",
    b"strict-transport-security",
    b"content-security-policy",
    b"content-security-policy-report-only",
    b"referrer-policy",
    b"permissions-policy",
    b"feature-policy",
    b"x-frame-options",
    b"service-worker-allowed",
    b"sourcemap",
    b"x-sourcemap",
    b"accept-ch",
    b"critical-ch",
    b"origin-agent-cluster",
    b"speculation-rules",
    b"x-robots-tag",
    b"nel",
    b"report-to",
    b"reporting-endpoints",
    b"expect-ct",
    b"timing-allow-origin",
    # What a proxy in front of the relay does: send a file of its own, ask elsewhere, keep the answer.
    b"x-sendfile",
    b"x-lighttpd-send-file",
    b"x-lighttpd-send-tempfile",
    b"x-reproxy-url",
    b"surrogate-control",
    b"surrogate-key",
    # The upstream's own site, which the client is not talking to.
    b"server",
    b"server-timing",
    b"x-powered-by",
    b"via",
    # Made anew.
    b"date",
    b"x-request-id",
    b"request-id",
}
_NOT_SENT_DOWN_PREFIXES: Final = (
    b"x-trunkline-",
    b"cf-",
    b"cdn-",
    b"access-control-",
    b"cross-origin-",
    b"proxy-",
    b"public-key-pins",
    b"set-cookie",
    b"x-accel-",
    b"x-sendfile-",
    b"x-litespeed-",
)


def with_own(
    client: Iterable[tuple[bytes, bytes]],
    request_id: str,
    credentials: Iterable[tuple[bytes, bytes]],
    overrides: Mapping[str, str],
    sent_up: "Names | None" = None,
) -> Headers:
    """Give the headers of an upstream request: the client's, ours over them, `overrides` over all but framing.

    `sent_up` says which of the client's cross; None for those that always do.
    """
    own: Headers = [(b"accept-encoding", b"identity"), (b"x-request-id", request_id.encode()), *credentials]
    crossing = _SENT_UP if sent_up is None else sent_up
    passed = _end_to_end(client, crossing)
    replaced: set[bytes] = set()
    for name, _ in credentials:
        if crossing[name] is not None:
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


class Names(dict[bytes, bytes | None]):
    """Each name in lower case; None when its header ends here. The first that are asked for are remembered."""

    def __missing__(self, name: bytes) -> bytes | None:
        lower = name.lower()
        passed = lower if self.crosses(lower) else None
        if len(name) <= _LONGEST_KEPT and len(self) < _MOST_KEPT:
            self[name] = passed
        return passed

    def crosses(self, lower: bytes) -> bool:
        """Tell whether a header crosses, by its name in lower case."""
        raise NotImplementedError


class _Up(Names):
    """Only what is allowed goes up."""

    def __init__(self, also: frozenset[bytes] = frozenset()) -> None:
        self._also = also

    def crosses(self, lower: bytes) -> bool:
        if lower in _NEVER_SENT_UP:
            return False
        return lower in _SENT_UP_NAMES or lower.startswith(_SENT_UP_PREFIXES) or lower in self._also


class _Down(Names):
    """All that is not listed comes down: providers put their limits and costs under names of their own."""

    def crosses(self, lower: bytes) -> bool:
        return lower not in _NOT_SENT_DOWN and not lower.startswith(_NOT_SENT_DOWN_PREFIXES)


@lru_cache(maxsize=1024)
def names_up(also: str) -> Names | None:
    """Give the names that go up to a channel that lets more through, separated by commas; None where it does not."""
    names = frozenset(name.strip().lower().encode() for name in also.split(",")) - {b""}
    return _Up(names) if names else None


_LONGEST_KEPT: Final = 64
"""Bytes of the longest name that is remembered."""
_MOST_KEPT: Final = 1024
_SENT_UP: Final = _Up()
_SENT_DOWN: Final = _Down()
_PLAIN_CONNECTION: Final = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"Close"})
"""What `Connection` says nearly always: it names no header."""


def _end_to_end(headers: Iterable[tuple[bytes, bytes]], sent: Names) -> Headers:
    passed: Headers = []
    named: set[bytes] | None = None
    for name, value in headers:
        lowered = sent[name]
        if lowered is not None:
            passed.append((lowered, value))
        elif value not in _PLAIN_CONNECTION and name.lower() == b"connection":
            named = (named or set()) | {token.strip().lower() for token in value.split(b",")}
    return passed if named is None else [pair for pair in passed if pair[0] not in named]
