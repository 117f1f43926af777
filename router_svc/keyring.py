"""Opens sealed channel keys when a pick first needs them.

The law: a key is unsealed once, and what came of it stays with the key object, so a new version of the channel tries anew.
One that cannot be opened is out of use, alone, and reported without anything of its content.
"""

from router_svc import metrics
from router_svc.snapshot import Channel, ChannelKey, Quarantined, Seal, Snapshot
from trunkline.secret import Sealer, UnsealError
from trunkline.telemetry import get_logger

log = get_logger()


class Keyring:
    """Unseals channel keys, and remembers which could not be."""

    def __init__(self, sealer: Sealer) -> None:
        """Take what can unseal."""
        self._sealer = sealer
        self._broken: dict[tuple[int, int], tuple[ChannelKey, Quarantined]] = {}

    def open(self, channel: Channel, key: ChannelKey) -> bool:
        """Unseal a key that was not tried yet; tell whether it can be used."""
        if key.opened is Seal.UNTRIED:
            try:
                key.opened = self._sealer.unseal(key.sealed, channel.id, key.id)
            except UnsealError as fault:
                key.opened = Seal.BROKEN
                self._report(channel, key, str(fault))
        return key.opened is not Seal.BROKEN

    def broken(self, snapshot: Snapshot) -> list[Quarantined]:
        """List the keys of this snapshot that were found broken."""
        for place, (key, _) in list(self._broken.items()):
            channel = snapshot.channels.get(place[0])
            if channel is None or key not in channel.keys:
                del self._broken[place]
        return [row for _, row in self._broken.values()]

    def _report(self, channel: Channel, key: ChannelKey, fault: str) -> None:
        row = Quarantined("channel", str(channel.id), channel.revision, channel.content_hash, fault, channel.revision)
        self._broken[channel.id, key.id] = (key, row)
        metrics.UNSEALABLE.inc()
        log.warning("[Distributor] channel key cannot be opened", channel_id=channel.id, key_id=key.id, fault=fault)
