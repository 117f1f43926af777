"""What RFC 9112 asks of a request's head beyond its grammar, which the parser checks.

Law: pure. A head that two readers could take for two requests is refused, never mended; an offer of another protocol is
declined by reading the same request without it.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from trunkline.http_faults import BAD_HOST, MALFORMED, OTHER_VERSION, TRANSFER_CODING, HttpFault

Headers = list[tuple[bytes, bytes]]

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
"""`uri-host [ ":" port ]`, empty included: RFC 9110 allows it where the target has no authority."""
_ABSOLUTE: Final = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://[^/?#]+")
_OFFER: Final = frozenset({b"upgrade", b"http2-settings"})


@lru_cache(maxsize=256)
def _is_host(value: bytes) -> bool:
    """Whether a `Host` is one; nearly every request names the same."""
    return _HOST.fullmatch(value) is not None


def fault_of(version: str, headers: Headers, names: Mapping[bytes, bytes]) -> HttpFault | None:
    """Why a head whose grammar is right cannot be served; names are in lower case, `names` is `dict(headers)`."""
    if version == "1.1" and len(names) == len(headers) and b"transfer-encoding" not in names:
        host = names.get(b"host")  # nearly every head: each name once, and nothing about its framing to ask
        return None if host is not None and _is_host(host) else BAD_HOST
    if version not in ("1.1", "1.0"):
        return OTHER_VERSION
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1 or (version == "1.1" and not hosts) or not all(map(_HOST.fullmatch, hosts)):
        return BAD_HOST
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if codings and version == "1.0":
        return MALFORMED  # RFC 9112, 6.1: the framing is faulty, whatever it says
    return None if codings in ([], [b"chunked"]) else TRANSFER_CODING


def origin_form(method: bytes, target: bytes) -> bytes | None:
    """The path and query of a target in any form that a server takes (RFC 9112, 3.2); None when it is in none."""
    if target.startswith(b"/"):
        return target
    if target == b"*":
        return b"/" if method == b"OPTIONS" else None
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        return None
    rest = target[absolute.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest


def without_offer(method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    """A head again, without its offer to speak another protocol; what else `Connection` says stays."""
    lines = [b"%b %b HTTP/%b" % (method, target, version.encode())]
    for name, value in headers:
        if name == b"connection":
            tokens = [token.strip() for token in value.split(b",")]
            kept = b", ".join(token for token in tokens if token and token.lower() not in _OFFER)
            if kept:
                lines.append(b"connection: " + kept)
        elif name not in _OFFER:
            lines.append(name + b": " + value)
    return b"\r\n".join(lines) + b"\r\n\r\n"
