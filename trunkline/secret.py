"""Secrets: a type that will not print itself, the API keys' keyed hash, and the seal of channel keys and proxies.

The law: a secret leaves its `Secret` only where it is used (`reveal`), and a sealed channel key opens only as the key it was
sealed for (its ids are associated data), so that rows swapped in the database are refused.
"""

import base64
import binascii
import hashlib
import hmac
import os
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PROXY = "proxy"
"""What a channel's proxy is sealed as, where a channel key has its id."""
LAST = 4
"""How many characters of a secret may be shown."""
_KEY_BYTES = 32
_BLOCK_BYTES = 64  # of SHA-256
_NONCE_BYTES = 12  # NIST SP 800-38D: 96 bits
_TAG_BYTES = 16


class Secret:
    """Text that shows at most its last four characters."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Wrap the text."""
        self._value = value

    def reveal(self) -> str:
        """Give the text itself, for use on the spot."""
        return self._value

    @property
    def last_four(self) -> str:
        """The last four characters; fewer of a short secret, so that never more than a quarter shows."""
        return self._value[-min(LAST, len(self._value) // LAST) :] if len(self._value) >= LAST else ""

    def __repr__(self) -> str:
        """Hide the text."""
        return "Secret(…)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        """Hash the text."""
        return hash(self._value)

    def __bool__(self) -> bool:
        """Tell whether there is any text."""
        return bool(self._value)

    def __reduce__(self) -> str:
        """Refuse to be pickled."""
        message = "a Secret is not pickled"
        raise TypeError(message)


class ApiKeyHasher:
    """Turns an API key's secret into what the catalog stores: HMAC-SHA256 under the pepper."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, pepper: Secret) -> None:
        """Take the pepper; the same one in every service."""
        # RFC 2104 by hand, with both halves keyed beforehand: `hmac` costs twice as much, and this is done for every pick.
        key = pepper.reveal().encode()
        key = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))

    def hash(self, secret: str) -> bytes:
        """Hash one secret (32 bytes)."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(secret.encode("utf-8", "surrogatepass"))
        outer.update(inner.digest())
        return outer.digest()


def read_sealing_keys(text: Secret) -> dict[str, bytes]:
    """Read `id:base64,id:base64,…` (32 bytes each), in order. Raises ValueError naming the fault, never the key."""
    keys: dict[str, bytes] = {}
    for number, part in enumerate(text.reveal().split(","), 1):
        key_id, colon, encoded = part.strip().partition(":")
        if not colon or not key_id.isalnum() or key_id in keys:
            message = f"entry {number} is not `id:base64` with an id of its own"
            raise ValueError(message)
        try:
            keys[key_id] = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            message = f"entry {number} ({key_id}) is not base64"
            raise ValueError(message) from None
        if len(keys[key_id]) != _KEY_BYTES:
            message = f"entry {number} ({key_id}) is not {_KEY_BYTES} bytes long"
            raise ValueError(message)
    return keys


class UnsealError(Exception):
    """A sealed key that cannot be opened: an unknown sealing key, a swapped row, or damage. Holds no secret."""


class Sealer:
    """Seals what belongs to a channel with AES-256-GCM: `sealing id · ':' · nonce · ciphertext`, ids as associated data."""

    __slots__ = ("_ciphers", "_current")

    def __init__(self, keys: dict[str, bytes]) -> None:
        """Take sealing keys by id; the first seals, all unseal."""
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._current = next(iter(keys))

    @classmethod
    def parse(cls, text: Secret) -> Self:
        """Read `id:base64,id:base64,…` (32 bytes each). Raises ValueError naming the fault, never the key."""
        return cls(read_sealing_keys(text))

    def seal(self, plain: Secret, channel_id: int, key_id: int | str) -> bytes:
        """Seal a channel key, or the proxy, for these ids."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._current].encrypt(nonce, plain.reveal().encode(), _bound_to(channel_id, key_id))
        return self._current.encode() + b":" + nonce + sealed

    def unseal(self, sealed: bytes, channel_id: int, key_id: int | str) -> Secret:
        """Open what was sealed for these ids. Raises UnsealError."""
        sealing_id, colon, rest = sealed.partition(b":")
        cipher = self._ciphers.get(sealing_id.decode("ascii", "replace")) if colon else None
        if cipher is None:
            message = f"{_named(channel_id, key_id)}: sealed with a key that is not configured"
            raise UnsealError(message)
        try:
            plain = cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], _bound_to(channel_id, key_id))
            return Secret(plain.decode())
        except (InvalidTag, ValueError):
            message = f"{_named(channel_id, key_id)}: damaged, or sealed for another row"
            raise UnsealError(message) from None


def is_sealed(sealed: bytes) -> bool:
    """Tell whether bytes have the form of something sealed, whoever sealed it."""
    sealing_id, colon, rest = sealed.partition(b":")
    return bool(colon) and sealing_id.isalnum() and len(rest) > _NONCE_BYTES + _TAG_BYTES


def _bound_to(channel_id: int, key_id: int | str) -> bytes:
    return f"{channel_id}:{key_id}".encode()


def _named(channel_id: int, key_id: int | str) -> str:
    return f"{key_id if key_id == PROXY else f'channel key {key_id}'} of channel {channel_id}"
