"""Registers fingerprints of this admin's secrets with the catalog, and refuses an admin whose secrets are others.

Law: the first admin registers what it can show to be right; whoever comes after agrees or does not start. All of it happens
under the head's lock, which every change takes, so nothing is hashed or sealed meanwhile by what is being replaced. A new
pepper or encryption key is registered before anything is written with it, so that no router says "unknown" too early.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from admin_svc.database import Connection
from trunkline.secret import Sealer, UnsealError
from trunkline.shared_secrets import (
    ENCRYPTION_KEY,
    KEYS_SETTING,
    PEPPER,
    PEPPER_SETTING,
    Registered,
    SharedSecrets,
    compare,
    pepper_id,
)

_ROWS: Final = "SELECT kind, id, fingerprint FROM shared_secrets"
_INSERT: Final = "INSERT INTO shared_secrets (kind, id, fingerprint) VALUES (%s, %s, %s)"
_SAMPLES: Final = 16
"""Sealed values tried for each encryption key: a few may be damaged, or a hand's."""
# A sealed value begins with its key's id; the newest first, since the oldest may be damaged or of a key that is gone.
_KEYS_SEALED: Final = """
SELECT sealed, channel_id, id::text FROM channel_keys
WHERE %(prefix)s::bytea IS NULL OR substr(sealed, 1, length(%(prefix)s::bytea)) = %(prefix)s::bytea
ORDER BY id DESC LIMIT %(samples)s
"""
_PROXIES_SEALED: Final = """
SELECT proxy_sealed, id, 'proxy' FROM channels
WHERE proxy_sealed IS NOT NULL
    AND (%(prefix)s::bytea IS NULL OR substr(proxy_sealed, 1, length(%(prefix)s::bytea)) = %(prefix)s::bytea)
ORDER BY id DESC LIMIT %(samples)s
"""


class SecretsDifferError(Exception):
    """The secret of a setting is not the one that the catalog is written with."""

    def __init__(self, setting: str, why: str) -> None:
        self.setting = setting
        super().__init__(f"{setting} is not what the catalog is written with: {why}")


async def register(connection: Connection, held: SharedSecrets, sealer: Sealer) -> list[str]:
    """Register what is new, in one transaction; names what was. Raises SecretsDifferError."""
    async with connection.transaction():
        await connection.execute("SELECT revision FROM catalog FOR UPDATE")
        registered = await registered_secrets(connection)
        added = await _register_keys(connection, held, registered, sealer)
        return [*added, *await _register_peppers(connection, held, registered)]


async def registered_secrets(connection: Connection) -> Registered:
    """Read what is registered."""
    rows = await (await connection.execute(_ROWS)).fetchall()
    return Registered.of((kind, name, bytes(fingerprint)) for kind, name, fingerprint in rows)


async def differing(connection: Connection, held: SharedSecrets) -> str:
    """Name what is not the catalog's any more, within a change; empty when all is."""
    return ", ".join(compare(held, await registered_secrets(connection)).differing)


async def _register_keys(
    connection: Connection, held: SharedSecrets, registered: Registered, sealer: Sealer
) -> list[str]:
    new = {key_id: fingerprint for key_id, fingerprint in held.keys.items() if key_id not in registered.keys}
    for key_id, fingerprint in held.keys.items():
        if registered.keys.get(key_id, fingerprint) != fingerprint:
            raise SecretsDifferError(KEYS_SETTING, f"key {key_id} is another")
    known = len(new) < len(held.keys)
    for key_id in new:
        opened = await _opens(connection, sealer, f"{key_id}:".encode())
        if opened is False:
            raise SecretsDifferError(KEYS_SETTING, f"key {key_id} opens nothing that is sealed with it")
        known = known or bool(opened)
    # An admin with none of the keys in use would seal what nobody else can open.
    if not known and (registered.keys or await _opens(connection, sealer, None) is False):
        raise SecretsDifferError(KEYS_SETTING, "it holds none of the keys in use; add a new key before those")
    await _insert(connection, ENCRYPTION_KEY, new)
    return [f"encryption key {key_id}" for key_id in new]


async def _register_peppers(connection: Connection, held: SharedSecrets, registered: Registered) -> list[str]:
    if registered.peppers and not registered.peppers & held.peppers:
        if await (await connection.execute("SELECT FROM api_keys LIMIT 1")).fetchone() is not None:
            raise SecretsDifferError(PEPPER_SETTING, "API keys are hashed with another")
        await connection.execute("DELETE FROM shared_secrets WHERE kind = %s", [PEPPER])
        registered = registered._replace(peppers=frozenset())
    # An old pepper is never brought back: one that was forgotten is gone.
    wanted = held.peppers if not registered.peppers else {held.pepper}
    new = {pepper_id(fingerprint): fingerprint for fingerprint in wanted - registered.peppers}
    await _insert(connection, PEPPER, new)
    return [f"pepper {name}" for name in new]


async def _insert(connection: Connection, kind: str, new: Mapping[str, bytes]) -> None:
    for name, fingerprint in new.items():
        await connection.execute(_INSERT, [kind, name, fingerprint])


async def _opens(connection: Connection, sealer: Sealer, prefix: bytes | None) -> bool | None:
    """Whether something sealed under a prefix, or at all, can be opened; None when nothing is."""
    found: bool | None = None
    values: dict[str, Any] = {"prefix": prefix, "samples": _SAMPLES}
    for query in (_KEYS_SEALED, _PROXIES_SEALED):
        for sealed, channel_id, place in await (await connection.execute(query, values)).fetchall():
            try:
                sealer.unseal(bytes(sealed), channel_id, place)
            except UnsealError:
                found = False
            else:
                return True
    return found
