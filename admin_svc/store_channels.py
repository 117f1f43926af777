"""How channels and their keys are written: rows of five tables, changed where they differ and nowhere else.

The law: children that stay are not touched, so that the overrides hanging on them survive; a channel key's id is drawn before
it is sealed, since the seal is bound to it; and the secret goes no further than the seal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg import errors
from psycopg.types.json import Jsonb

from admin_svc import reads, rules
from admin_svc.database import Connection
from admin_svc.records import Channel, ChannelKey
from trunkline.errors import AlreadyExists, EtagMismatch, NotFound
from trunkline.secret import PROXY, Sealer, Secret

_COLUMNS: Final = (
    "name",
    "provider",
    "base_url",
    "status",
    "status_reason",
    "priority",
    "weight",
    "tags",
    "header_overrides",
    "parameter_overrides",
    "connect_timeout_ms",
    "first_byte_timeout_ms",
    "idle_timeout_ms",
    "total_timeout_ms",
    "provider_options",
    "removed_headers",
    "system_prompt",
    "system_prompt_mode",
    "status_mapping",
    "strict",
    "repeat_after_timeout",
    "remark",
)
"""All but the proxy, whose seal is bound to the id: it is written by itself."""


_KEYS_ANEW: Final = (
    "must hold the channel's keys anew, since they would go elsewhere than before (provider, base_url, proxy_url, Host); "
    "a token with the scope `credentials` may leave them"
)


def create_channel(
    draft: Channel, secrets: Sequence[Secret], proxy: Secret, sealer: Sealer
) -> Callable[[Connection], Awaitable[Channel]]:
    """Write a new channel with its keys. Raises InvalidFields, AlreadyExists."""

    async def write(connection: Connection) -> Channel:
        faults = rules.Faults()
        known = await reads.known_groups(connection, draft.groups)
        channel = rules.admit_channel(draft, known, faults.within("channel"))
        reached_through = rules.admit_proxy(proxy, faults.within("channel"))
        keys = rules.admit_secrets(secrets, faults)
        faults.refuse_any()
        columns, places = ", ".join(_COLUMNS), ", ".join(f"%({column})s" for column in _COLUMNS)
        try:
            cursor = await connection.execute(
                f"INSERT INTO channels ({columns}) VALUES ({places}) RETURNING id",  # noqa: S608 - constants
                _values(channel),
            )
        except errors.UniqueViolation:
            raise AlreadyExists(kind="channel", id=channel.name) from None
        (channel_id,) = await cursor.fetchone() or (0,)
        await _write_models(connection, channel_id, channel)
        await _write_groups(connection, channel_id, channel.groups)
        if reached_through is not None:
            await _write_proxy(connection, channel_id, reached_through, sealer)
        await _seal_keys(connection, channel_id, keys, "", sealer)
        return await reads.channel(connection, channel_id)

    return write


@dataclass(frozen=True, slots=True)
class ChannelChange:
    """A change of a channel: the fields named, and the secrets that belong to it."""

    channel_id: int
    etag: str
    values: Mapping[str, Any] = field(repr=False)
    proxy: Secret | None = None
    """A new proxy; empty takes the old one away, None leaves it."""
    keys: Sequence[Secret] = ()
    """New keys, in place of all that there are."""
    moves_keys: bool = False
    """Whether the caller may send the keys that there are to another place."""


def update_channel(change: ChannelChange, sealer: Sealer) -> Callable[[Connection], Awaitable[Channel]]:
    """Change a channel. Raises NotFound, EtagMismatch, InvalidFields, AlreadyExists."""
    channel_id, values, proxy = change.channel_id, change.values, change.proxy

    async def write(connection: Connection) -> Channel:
        current = await reads.channel(connection, channel_id)
        check_etag("channel", channel_id, change.etag, current.etag)
        draft = rules.changed_channel(current, values)
        known = await reads.known_groups(connection, draft.groups) if "groups" in values else frozenset[str]()
        of_request = rules.Faults()
        faults = of_request.within("channel", only={*rules.judged_with(values), "proxy_url"})
        channel = rules.admit_channel(draft, known, faults)
        # What was shown says nothing of the credentials: given back, it leaves them as they are.
        changes_proxy = proxy is not None and proxy.reveal().strip() != current.proxy_url
        reached_through = rules.admit_proxy(proxy, faults) if proxy is not None and changes_proxy else None
        keys = rules.admit_secrets(change.keys, of_request, field="replace_keys")
        new_proxy = reached_through is not None
        if current.keys and not keys and not change.moves_keys:
            elsewhere = rules.sends_keys_elsewhere(current, channel, new_proxy=new_proxy)
            if elsewhere:
                of_request.note("replace_keys", _KEYS_ANEW)
        faults.refuse_any()
        if changes_proxy:
            await _write_proxy(connection, channel_id, reached_through, sealer)
        if _values(channel) != _values(current):
            await _update_row(connection, channel_id, channel)
        if (channel.models, channel.model_mapping) != (current.models, current.model_mapping):
            await _write_models(connection, channel_id, channel)
        if channel.groups != current.groups:
            await _write_groups(connection, channel_id, channel.groups)
        if keys:
            await connection.execute("DELETE FROM channel_keys WHERE channel_id = %s", (channel_id,))
            await _seal_keys(connection, channel_id, keys, "", sealer)
        return await reads.channel(connection, channel_id)

    return write


def delete_channel(channel_id: int, etag: str) -> Callable[[Connection], Awaitable[None]]:
    """Delete a channel and all that belongs to it. Raises NotFound, EtagMismatch."""

    async def write(connection: Connection) -> None:
        check_etag("channel", channel_id, etag, (await reads.channel(connection, channel_id)).etag)
        await connection.execute("DELETE FROM channels WHERE id = %s", (channel_id,))

    return write


def add_keys(
    channel_id: int, secrets: Sequence[Secret], remark: str, sealer: Sealer
) -> Callable[[Connection], Awaitable[tuple[ChannelKey, ...]]]:
    """Add keys to a channel. Raises NotFound, InvalidFields."""

    async def write(connection: Connection) -> tuple[ChannelKey, ...]:
        await reads.channel(connection, channel_id)
        faults = rules.Faults()
        keys = rules.admit_secrets(secrets, faults)
        faults.remark(remark)
        if not secrets:
            faults.note("keys", "must hold a key at least")
        faults.refuse_any()
        ids = await _seal_keys(connection, channel_id, keys, remark.strip(), sealer)
        return tuple(key for key in await reads.channel_keys(connection, channel_id) if key.id in ids)

    return write


def update_key(
    channel_id: int, key_id: int, values: Mapping[str, Any]
) -> Callable[[Connection], Awaitable[ChannelKey]]:
    """Change a channel key's status or remark. Raises NotFound, InvalidFields."""

    async def write(connection: Connection) -> ChannelKey:
        current = await reads.channel_key(connection, channel_id, key_id)
        faults = rules.Faults("key", only=values.keys())
        key = rules.admit_channel_key(rules.changed_channel_key(current, values), faults)
        faults.refuse_any()
        await connection.execute(
            "UPDATE channel_keys SET status = %s, status_reason = %s, remark = %s WHERE id = %s AND channel_id = %s",
            (key.status, key.status_reason, key.remark, key_id, channel_id),
        )
        return await reads.channel_key(connection, channel_id, key_id)

    return write


def delete_key(channel_id: int, key_id: int) -> Callable[[Connection], Awaitable[None]]:
    """Delete a channel key. Raises NotFound."""

    async def write(connection: Connection) -> None:
        cursor = await connection.execute(
            "DELETE FROM channel_keys WHERE id = %s AND channel_id = %s", (key_id, channel_id)
        )
        if not cursor.rowcount:
            raise NotFound(kind="channel key", id=f"{channel_id}/{key_id}")

    return write


def check_etag(kind: str, resource_id: int, given: str, current: str) -> None:
    """Hold an etag, if one is given, against the row's. Raises EtagMismatch."""
    if given and given != current:
        raise EtagMismatch(kind=kind, id=resource_id, given=given, current=current)


# --- rows -----------------------------------------------------------------------------------------------------------


def _values(channel: Channel) -> dict[str, Any]:
    values = {name: getattr(channel, name) for name in _COLUMNS if not name.endswith("_ms")}
    limits = channel.timeouts
    return values | {
        "tags": list(channel.tags),
        "header_overrides": _Json(dict(channel.header_overrides)),
        "parameter_overrides": _Json(_plain(channel.parameter_overrides)),
        "provider_options": _Json(dict(channel.provider_options)),
        "removed_headers": list(channel.removed_headers),
        "status_mapping": _Json({str(status): shown for status, shown in channel.status_mapping.items()}),
        "connect_timeout_ms": limits.connect_ms,
        "first_byte_timeout_ms": limits.first_byte_ms,
        "idle_timeout_ms": limits.idle_ms,
        "total_timeout_ms": limits.total_ms,
    }


def _plain(parameters: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any] | list[Any]:
    return dict(parameters) if isinstance(parameters, Mapping) else list(parameters)


class _Json(Jsonb):
    """A JSON parameter that compares by its value."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Json) and self.obj == other.obj

    __hash__ = None  # type: ignore[assignment]  # compared, never kept in a set


async def _update_row(connection: Connection, channel_id: int, channel: Channel) -> None:
    assignments = ", ".join(f"{column} = %({column})s" for column in _COLUMNS)
    try:
        await connection.execute(
            f"UPDATE channels SET {assignments} WHERE id = %(id)s",  # noqa: S608 - constants
            _values(channel) | {"id": channel_id},
        )
    except errors.UniqueViolation:
        raise AlreadyExists(kind="channel", id=channel.name) from None


async def _write_proxy(connection: Connection, channel_id: int, proxy: rules.Proxy | None, sealer: Sealer) -> None:
    sealed = None if proxy is None else sealer.seal(proxy.secret, channel_id, PROXY)
    await connection.execute(
        "UPDATE channels SET proxy_sealed = %s, proxy_shown = %s WHERE id = %s",
        (sealed, "" if proxy is None else proxy.shown, channel_id),
    )


async def _write_models(connection: Connection, channel_id: int, channel: Channel) -> None:
    models = list(channel.models)
    await connection.execute(
        "DELETE FROM channel_models WHERE channel_id = %s AND model <> ALL (%s)", (channel_id, models)
    )
    await connection.execute(
        """
        INSERT INTO channel_models AS m (channel_id, model, upstream_model)
        SELECT %s, t.model, t.upstream_model FROM unnest(%s::text[], %s::text[]) AS t (model, upstream_model)
        ON CONFLICT (channel_id, model) DO UPDATE SET upstream_model = excluded.upstream_model
        WHERE m.upstream_model IS DISTINCT FROM excluded.upstream_model
        """,
        (channel_id, models, [channel.model_mapping.get(model) for model in models]),
    )


async def _write_groups(connection: Connection, channel_id: int, groups: Sequence[str]) -> None:
    await connection.execute(
        "DELETE FROM channel_groups WHERE channel_id = %s AND group_name <> ALL (%s)", (channel_id, list(groups))
    )
    await connection.execute(
        "INSERT INTO channel_groups (channel_id, group_name) SELECT %s, unnest(%s::text[]) ON CONFLICT DO NOTHING",
        (channel_id, list(groups)),
    )


async def _seal_keys(
    connection: Connection, channel_id: int, secrets: Sequence[Secret], remark: str, sealer: Sealer
) -> set[int]:
    if not secrets:
        return set()
    cursor = await connection.execute(
        "SELECT nextval(pg_get_serial_sequence('channel_keys', 'id')) FROM generate_series(1, %s)", (len(secrets),)
    )
    ids = [key_id for (key_id,) in await cursor.fetchall()]
    sealed = [sealer.seal(secret, channel_id, key_id) for key_id, secret in zip(ids, secrets, strict=True)]
    await connection.execute(
        """
        INSERT INTO channel_keys (channel_id, remark, id, sealed, last_four)
        SELECT %s, %s, t.id, t.sealed, t.last_four
        FROM unnest(%s::bigint[], %s::bytea[], %s::text[]) AS t (id, sealed, last_four)
        """,
        (channel_id, remark, ids, sealed, [secret.last_four for secret in secrets]),
    )
    return set(ids)
