"""What goes on the wire: where a URL leads, and the head of a request.

The law: pure. Whatever cannot be sent as it is (a URL that names no host, a header that would begin another) is refused
before a byte is written, in words that quote nothing: a credential is among the headers. Framing is written here and
nowhere else.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit


class Unsendable(Exception):  # noqa: N818 - a fact about a channel's set-up
    """A request that cannot be sent as it is."""


class Origin(NamedTuple):
    """What a connection leads to, and what it can be used again for."""

    secure: bool
    host: str
    port: int


class Target:
    """Where requests for one URL go, and how their heads begin."""

    __slots__ = ("_prefix", "_with_host", "origin")

    def __init__(self, url: str, method: str = "POST") -> None:
        """Read a URL. Raises Unsendable when nothing can be sent there."""
        try:
            self.origin, authority, path = _read(url)
        except ValueError:  # the standard library's, which quotes
            raise Unsendable("a URL is malformed") from None
        self._prefix = b"%b %b HTTP/1.1\r\n" % (method.encode(), path)
        self._with_host = self._prefix + b"host: %b\r\n" % authority

    def head(self, headers: Iterable[tuple[bytes, bytes]], length: int | None) -> bytes:
        """Write the head of a request whose body is `length` bytes long, or comes in chunks. Raises Unsendable."""
        prefix = self._with_host
        lines = []
        for pair in headers:
            if pair[0] not in _known and not _new(pair[0]):
                prefix = self._prefix
            lines.append(b": ".join(pair))
        lines.append(_CHUNKED if length is None else b"content-length: %d\r\n\r\n" % length)
        fields = b"\r\n".join(lines)
        # Two control characters end each line and two the head; one more would be a value's own.
        if len(fields) - len(fields.translate(None, _CONTROL)) != 2 * len(lines) + 2:
            raise Unsendable("a header's value holds a control character")
        return prefix + fields


_CHUNKED: Final = b"transfer-encoding: chunked\r\n\r\n"
_CONTROL: Final = bytes(range(0x20)).replace(b"\t", b"") + b"\x7f"
"""What no value may hold; a tab it may."""
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_MOST_KNOWN: Final = 4096
_known: set[bytes] = set()
"""Header names that have been looked at: there are few, and clients can make up no end of them."""


def _new(name: bytes) -> bool:
    """Look at a header's name; False for `host`, which takes the place of the target's own."""
    if not _TOKEN.fullmatch(name):
        raise Unsendable("a header's name is none")
    lower = name.lower()
    if lower in _FRAMING:
        raise Unsendable("a header would change the framing")
    if lower == b"host":
        return False
    if len(_known) < _MOST_KNOWN:
        _known.add(name)
    return True


_NOT_PRINTED: Final = re.compile(r"[^\x21-\x7e]")
_PATH: Final = "/?%:@!$&'()*+,;=-._~[]"
"""What stands in a path and a query as it is; an escape that is there already stays."""
_HOST: Final = re.compile(r"[a-z0-9._-]{1,253}")
_MOST_PORTS: Final = 65535


def _read(url: str) -> tuple[Origin, bytes, bytes]:
    """Tell the origin, the authority as `Host` has it, and path and query."""
    if _NOT_PRINTED.search(url):
        raise Unsendable("a URL is printable ASCII without spaces")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise Unsendable("a URL begins with http:// or https://")
    if "@" in parts.netloc:
        raise Unsendable("a URL holds no credential")
    secure = parts.scheme == "https"
    usual = 443 if secure else 80
    port = usual if parts.port is None else parts.port
    if not 0 < port <= _MOST_PORTS:
        raise Unsendable("a URL's port is none")
    host = parts.hostname or ""
    shown = _host(host, literal="[" in parts.netloc)
    authority = shown if port == usual else f"{shown}:{port}"
    path = quote(parts.path or "/", safe=_PATH) + (f"?{quote(parts.query, safe=_PATH)}" if parts.query else "")
    return Origin(secure, host, port), authority.encode(), path.encode()


def _host(host: str, *, literal: bool) -> str:
    if literal:
        if IPv6Address(host).scope_id is not None:
            raise Unsendable("a URL's address names an interface of this machine")
        return f"[{host}]"
    if not _HOST.fullmatch(host):
        raise Unsendable("a URL's host is none")
    return host
