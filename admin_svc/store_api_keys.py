"""How API keys are written: their secret never is, only its keyed hash."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from admin_svc import reads, rules
from admin_svc.database import Connection
from admin_svc.records import ApiKey
from admin_svc.store_channels import check_etag
from trunkline.secret import ApiKeyHasher, Secret

_SECRET_BYTES: Final = 32
_COLUMNS: Final = (
    "name",
    "group_name",
    "fallback_groups",
    "model_allow_list",
    "address_allow_list",
    "expire_time",
    "status",
    "remark",
)


def draw_secret() -> Secret:
    """Draw the secret of a new API key: `sk-` and 256 random bits."""
    return Secret("sk-" + secrets.token_urlsafe(_SECRET_BYTES))


def create_api_key(draft: ApiKey, secret: Secret, hasher: ApiKeyHasher) -> Callable[[Connection], Awaitable[ApiKey]]:
    """Write a new API key. Raises InvalidFields."""

    async def write(connection: Connection) -> ApiKey:
        faults = rules.Faults("api_key")
        key = rules.admit_api_key(draft, await _known(connection, draft), faults)
        faults.refuse_any()
        columns, places = ", ".join(_COLUMNS), ", ".join(_place(column) for column in _COLUMNS)
        cursor = await connection.execute(
            f"INSERT INTO api_keys ({columns}, hash, last_four)"  # noqa: S608 - constants
            f" VALUES ({places}, %(hash)s, %(last_four)s) RETURNING id",
            _values(key) | {"hash": hasher.hash(secret.reveal()), "last_four": secret.last_four},
        )
        (api_key_id,) = await cursor.fetchone() or (0,)
        return await reads.api_key(connection, api_key_id)

    return write


def update_api_key(api_key_id: int, etag: str, values: Mapping[str, Any]) -> Callable[[Connection], Awaitable[ApiKey]]:
    """Change the fields named. Raises NotFound, EtagMismatch, InvalidFields."""

    async def write(connection: Connection) -> ApiKey:
        current = await reads.api_key(connection, api_key_id)
        check_etag("API key", api_key_id, etag, current.etag)
        draft = replace(current, **values)
        faults = rules.Faults("api_key", only=values.keys())
        key = rules.admit_api_key(draft, await _known(connection, draft), faults)
        faults.refuse_any()
        assignments = ", ".join(f"{column} = {_place(column)}" for column in _COLUMNS)
        await connection.execute(
            f"UPDATE api_keys SET {assignments} WHERE id = %(id)s",  # noqa: S608 - constants
            _values(key) | {"id": api_key_id},
        )
        return await reads.api_key(connection, api_key_id)

    return write


def delete_api_key(api_key_id: int, etag: str) -> Callable[[Connection], Awaitable[None]]:
    """Delete an API key. Raises NotFound, EtagMismatch."""

    async def write(connection: Connection) -> None:
        check_etag("API key", api_key_id, etag, (await reads.api_key(connection, api_key_id)).etag)
        await connection.execute("DELETE FROM api_keys WHERE id = %s", (api_key_id,))

    return write


async def _known(connection: Connection, key: ApiKey) -> frozenset[str]:
    return await reads.known_groups(connection, (key.group, *key.fallback_groups))


def _place(column: str) -> str:
    return f"%({column})s::cidr[]" if column == "address_allow_list" else f"%({column})s"


def _values(key: ApiKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "group_name": key.group,
        "fallback_groups": list(key.fallback_groups),
        "model_allow_list": list(key.model_allow_list),
        "address_allow_list": list(key.address_allow_list),
        "expire_time": key.expire_time,
        "status": key.status,
        "remark": key.remark,
    }
