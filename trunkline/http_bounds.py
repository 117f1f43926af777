"""The bounds of an HTTP server's connections.

Law: each has a default that is safe to run with; times are in seconds.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class HttpBounds:
    """What a client may send and hold."""

    max_head_bytes: int = 64 << 10
    """Of a head, and of whatever lies between the parts of a body: sizes of chunks, trailers."""
    max_headers: int = 128
    max_target_bytes: int = 16 << 10
    head_timeout: float = 30.0
    """From a head's first byte, or the connection, to its last."""
    body_timeout: float = 60.0
    """From a head to the end of the body."""
    idle_timeout: float = 75.0
    """Between a response and the next request."""
    stall_limit: float = 60.0
    """Longest wait for a client to take the end of what was sent."""
    max_pipelined: int = 16
    """Requests that wait behind the one being served."""
    max_connections: int = 10_000


DEFAULTS: Final = HttpBounds()
