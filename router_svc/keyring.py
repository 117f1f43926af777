"""Opens sealed channel keys, and proxies, when a pick first needs them.

The law: a key is unsealed once, and what came of it stays with the key object, so a new version of the channel tries anew.
One that cannot be opened is out of use, alone, and reported without anything of its content. A channel whose proxy cannot
be opened has no key that can be used: nothing is ever sent around a proxy.
"""

from router_svc import metrics
from router_svc.snapshot import Channel, ChannelKey, Proxy, Quarantined, Seal, Snapshot
from trunkline.secret import PROXY, Sealer, UnsealError
from trunkline.telemetry import get_logger

log = get_logger()


class Keyring:
    """Unseals channel keys, and remembers which could not be."""

    def __init__(self, sealer: Sealer) -> None:
        """Take what can unseal."""
        self._sealer = sealer
        self._broken: dict[tuple[int, int | str], tuple[bytes, Quarantined]] = {}
        """By what was sealed: a read for one pick finds the same in an object of its own."""

    def open(self, channel: Channel, key: ChannelKey | None) -> bool:
        """Unseal a key that was not tried yet, if the channel needs one, and the proxy; tell whether it can be used."""
        proxy = channel.shaping.proxy
        reachable = proxy is None or self._opens(channel, PROXY, proxy)
        if key is None:
            return reachable
        if not reachable:
            key.opened = Seal.BROKEN
        return self._opens(channel, key.id, key)

    def broken(self, snapshot: Snapshot) -> list[Quarantined]:
        """List the keys and proxies of this snapshot that were found broken."""
        for place, (sealed, _) in list(self._broken.items()):
            channel = snapshot.channels.get(place[0])
            if channel is None or sealed != _sealed_at(channel, place[1]):
                del self._broken[place]
        return [row for _, row in self._broken.values()]

    def in_doubt(self, snapshot: Snapshot | None) -> int:
        """Count the keys and proxies of a snapshot that were found broken."""
        return len(self.broken(snapshot)) if snapshot is not None else 0

    def _opens(self, channel: Channel, key_id: int | str, sealed: ChannelKey | Proxy) -> bool:
        if sealed.opened is Seal.UNTRIED:
            try:
                sealed.opened = self._sealer.unseal(sealed.sealed, channel.id, key_id)
            except UnsealError as fault:
                sealed.opened = Seal.BROKEN
                self._report(channel, key_id, sealed, str(fault))
        return sealed.opened is not Seal.BROKEN

    def _report(self, channel: Channel, key_id: int | str, sealed: ChannelKey | Proxy, fault: str) -> None:
        row = Quarantined("channel", str(channel.id), channel.revision, channel.content_hash, fault, channel.revision)
        if (known := self._broken.get((channel.id, key_id))) is not None and known[0] == sealed.sealed:
            return
        self._broken[channel.id, key_id] = (sealed.sealed, row)
        metrics.UNSEALABLE.inc()
        log.warning("[Distributor] channel key cannot be opened", channel_id=channel.id, key_id=key_id, fault=fault)


def _sealed_at(channel: Channel, key_id: int | str) -> bytes | None:
    """What a channel holds sealed in a place; None when it holds nothing there."""
    if key_id == PROXY:
        return None if channel.shaping.proxy is None else channel.shaping.proxy.sealed
    return next((key.sealed for key in channel.keys if key.id == key_id), None)
