"""Whether this router's secrets are those that the catalog is written with, as of the newest read of the head.

Law: each read that may prove a negative brings the fingerprints of the same state, and they are held against ours before
anything is proven by it. Who differs answers nothing; who lacks a secret that is registered is degraded, and says neither
"unknown API key" nor "no channel" of what may be written with it.
"""

import math
from typing import Final

import msgspec

from router_svc.news import News
from trunkline.shared_secrets import IN_ACCORD, Accord, Registered, SharedSecrets, compare
from trunkline.telemetry import get_logger

log = get_logger()

_ROWS: Final = msgspec.json.Decoder(list[tuple[str, str, str]])


class SecretsWatch:
    """Holds what was last read against the router's own secrets."""

    def __init__(self, held: SharedSecrets | None = None) -> None:
        """Take the router's fingerprints; without any it agrees with every catalog."""
        self._held = held
        self._read = b"[]"
        self._began = -math.inf
        self.accord = IN_ACCORD
        self.differs = False
        """Whether nothing may be answered."""
        self.in_doubt = False
        """Whether something registered is missing here."""
        self.changed = News()
        """Told when the accord changes."""

    def learn(self, fingerprints: bytes, began: float) -> None:
        """Take what a read brought that began at a time (monotonic); an older one tells nothing."""
        if began < self._began:
            return
        self._began = began
        if fingerprints == self._read or self._held is None:
            return
        self._read = fingerprints
        rows = ((kind, name, bytes.fromhex(digits)) for kind, name, digits in _ROWS.decode(fingerprints))
        self._take(compare(self._held, Registered.of(rows)))

    def _take(self, accord: Accord) -> None:
        if accord == self.accord:
            return
        self.accord = accord
        self.differs, self.in_doubt = bool(accord.differing), bool(accord.missing)
        if accord.differing:
            log.error("secrets are not the catalog's: nothing is served", settings=", ".join(accord.differing))
        elif accord.missing:
            log.warning("secrets of the catalog are missing here: degraded", missing=", ".join(accord.missing))
        else:
            log.info("secrets are the catalog's")
        self.changed.tell()
