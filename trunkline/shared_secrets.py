"""Fingerprints of the secrets that services share, and whether those of one are the catalog's.

Law: a fingerprint shows that two secrets are the same and nothing else of them. An encryption key is 32 random bytes, so a
keyed hash of it can only be guessed by guessing the key; a pepper may be words, so guessing it is made dear, once at start.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, Self

from trunkline.secret import Secret, read_sealing_keys

PEPPER: Final = "pepper"
ENCRYPTION_KEY: Final = "encryption_key"
PEPPER_SETTING: Final = "TRUNKLINE_PEPPER"
KEYS_SETTING: Final = "TRUNKLINE_ENCRYPTION_KEYS"
SHOWN: Final = 12
"""Hex digits of a pepper's fingerprint that name it."""
_LABEL: Final = b"trunkline/fingerprint/1/"
_COST: Final = {"n": 1 << 14, "r": 8, "p": 1}  # 16 MiB and some 50 ms a guess


class Registered(NamedTuple):
    """The fingerprints that the catalog knows."""

    peppers: frozenset[bytes]
    keys: Mapping[str, bytes]
    """Of encryption keys, by id."""

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str, bytes]]) -> Self:
        """Sort rows of kind, id and fingerprint; kinds that only newer services know are left out."""
        listed = list(rows)
        return cls(
            frozenset(fingerprint for kind, _, fingerprint in listed if kind == PEPPER),
            {key_id: fingerprint for kind, key_id, fingerprint in listed if kind == ENCRYPTION_KEY},
        )


class SharedSecrets(NamedTuple):
    """The fingerprints of one service's secrets."""

    pepper: bytes
    old_pepper: bytes | None
    keys: Mapping[str, bytes]

    @classmethod
    def of(cls, pepper: Secret, old_pepper: Secret | None, encryption_keys: Secret) -> Self:
        """Compute them; takes a moment for each pepper."""
        return cls(
            _of_pepper(pepper),
            None if old_pepper is None else _of_pepper(old_pepper),
            {
                key_id: hmac.digest(key, _LABEL + b"encryption key", "sha256")
                for key_id, key in read_sealing_keys(encryption_keys).items()
            },
        )

    @property
    def peppers(self) -> frozenset[bytes]:
        """The pepper, and the old one if there is one."""
        return frozenset({self.pepper} if self.old_pepper is None else {self.pepper, self.old_pepper})


class Accord(NamedTuple):
    """How a service's secrets stand to the catalog's; names settings and ids, never a secret."""

    differing: tuple[str, ...] = ()
    """Settings with which nothing may be served."""
    missing: tuple[str, ...] = ()
    """Registered secrets that are not configured: what is written with them is in doubt."""
    pepper_missing: bool = False
    """Whether a pepper is among the missing, so that an API key not found may be hashed with it."""


IN_ACCORD: Final = Accord()
"""Of a service whose secrets are the catalog's, or that was told none."""


def compare(held: SharedSecrets, registered: Registered) -> Accord:
    """Hold a service's secrets against those registered. A catalog that knows none agrees with everybody."""
    differing, missing = [], []
    shared = registered.peppers & held.peppers
    if registered.peppers and not shared:
        differing.append(PEPPER_SETTING)
    lacking = sorted(registered.peppers - held.peppers) if shared else []
    missing += [f"pepper {pepper_id(fingerprint)}" for fingerprint in lacking]
    if registered.keys and not registered.keys.keys() & held.keys.keys():
        differing.append(KEYS_SETTING)
    for key_id, fingerprint in sorted(registered.keys.items()):
        if key_id not in held.keys:
            missing.append(f"encryption key {key_id}")
        elif held.keys[key_id] != fingerprint:
            differing.append(f"{KEYS_SETTING} ({key_id})")
    return Accord(tuple(differing), tuple(missing), bool(lacking))


def pepper_id(fingerprint: bytes) -> str:
    """What names a pepper."""
    return fingerprint.hex()[:SHOWN]


def _of_pepper(pepper: Secret) -> bytes:
    return hashlib.scrypt(pepper.reveal().encode(), salt=_LABEL + b"pepper", dklen=32, **_COST)
