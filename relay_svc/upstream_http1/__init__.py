"""The relay's own HTTP/1.1 client, behind the upstream port.

client ─▶ pool ─▶ dialling ─▶ connection ─▶ response (pure)
   └────▶ request (pure)          └───────▶ the event loop's transport, TCP or TLS
"""

from relay_svc.upstream_http1.client import Http1Upstream

__all__ = ["Http1Upstream"]
