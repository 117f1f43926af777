"""Who the client is: its address.

The law: pure. `X-Forwarded-For` is believed only as far as trusted proxies wrote it: read from the right, the first address
that is no trusted proxy is the client.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network


def client_address(peer: str, forwarded_for: Iterable[bytes], trusted: Sequence[Network]) -> str:
    """Tell the client's IP address; `forwarded_for` are the header's values in the order they came."""
    address = _address(peer)
    if address is None:
        return peer
    hops = [hop.strip() for value in forwarded_for for hop in value.decode("latin-1").split(",")]
    while trusted and hops and _among(address, trusted):
        hop = _address(hops.pop())
        if hop is None:
            break  # a proxy wrote nonsense: it is the last that is known
        address = hop
    return str(address)


@lru_cache(maxsize=4096)
def peer_address(peer: str) -> str:
    """Tell the IP address of the connection's other end: what the kernel says, again with every request."""
    return client_address(peer, (), ())


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _among(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
