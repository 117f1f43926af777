"""Which API keys a router has confirmed of late, so that what is large is held for known callers alone.

The law: a key is kept as a hash under this process's own random secret, and nothing else of it; there is a bound on their
number and on their age. Being known decides about memory, never about a request: each is still picked for.
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from trunkline.secret import Secret

MOST_KEYS: Final = 65_536
LIFETIME: Final = 300.0
"""Seconds that a confirmation lasts."""


class KnownKeys:
    """The keys confirmed of late."""

    def __init__(self, clock: Callable[[], float], most: int = MOST_KEYS) -> None:
        """Begin with none; the clock is in seconds."""
        self._clock, self._most = clock, most
        self._secret = os.urandom(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def knows(self, api_key: Secret) -> bool:
        """Whether a router confirmed it within the lifetime."""
        until = self._until.get(self._hash(api_key))
        return until is not None and self._clock() < until

    def note(self, api_key: Secret) -> None:
        """Note that a router confirmed it now."""
        hashed = self._hash(api_key)
        self._until[hashed] = self._clock() + LIFETIME
        self._until.move_to_end(hashed)
        if len(self._until) > self._most:
            self._until.popitem(last=False)

    def _hash(self, api_key: Secret) -> bytes:
        return hashlib.blake2b(api_key.reveal().encode(), key=self._secret, digest_size=16).digest()
