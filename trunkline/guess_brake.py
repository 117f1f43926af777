"""A brake on wrong tokens: who guesses too often from one address is told to wait.

Law: pure and bounded; the clock comes in as an argument. A right token is never asked about here, so nobody who holds one is
ever kept out, whatever others at the same address do.
"""

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from typing import Final

MOST_WRONG: Final = 10
"""Wrong tokens a window that are answered as such."""
WINDOW: Final = 60.0
"""Seconds."""
MOST_PEERS: Final = 4096
"""Addresses that are remembered; past that, whoever has been quiet the longest is forgotten."""


class GuessBrake:
    """Wrong tokens of late, by address: a level that each raises by one and that sinks at a fixed rate."""

    __slots__ = ("_levels", "_most", "_peers", "_rate")

    def __init__(self, most: int = MOST_WRONG, window: float = WINDOW, *, peers: int = MOST_PEERS) -> None:
        self._most, self._rate, self._peers = most, most / window, peers
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Level and when it was that, by network; whoever guessed last stands last."""

    def __len__(self) -> int:
        """Addresses remembered."""
        return len(self._levels)

    def wrong(self, peer: str, now: float) -> float:
        """Counts a wrong token; 0.0 when it is to be answered as such, else the seconds until one is again."""
        network = network_of(peer)
        level, since = self._levels.pop(network, (0.0, now))
        level = max(0.0, level - (now - since) * self._rate)
        braked = level + 1 > self._most
        # A braked guess raises nothing: who waits as told is heard again, and a flood is answered at the fixed rate.
        self._levels[network] = (level if braked else level + 1, now)
        if len(self._levels) > self._peers:
            self._levels.popitem(last=False)
        return (level + 1 - self._most) / self._rate if braked else 0.0


def network_of(peer: str) -> str:
    """The part of an address that one host cannot choose freely: all of IPv4, the first 64 bits of IPv6."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer[:64]
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> 64 << 64))
