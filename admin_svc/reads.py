"""Reads of the catalog: each answers records from one statement, and so from one moment.

The law: a resource is read with its children in the same statement, so that no answer mixes two states of the catalog.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from psycopg import sql

from admin_svc import rows
from admin_svc.cursors import dict_cursor
from admin_svc.database import Connection
from admin_svc.paging import ListQuery, Paging
from admin_svc.records import Ability, ApiKey, Channel, ChannelKey, Group, Page, Revision, RouterLease, Sight, Token
from admin_svc.rows import Row
from trunkline.errors import NotFound

T = TypeVar("T")

_CHANNEL: Final = """
SELECT
    c.*,
    ARRAY(SELECT m.model FROM channel_models AS m WHERE m.channel_id = c.id ORDER BY m.model) AS models,
    (
        SELECT jsonb_object_agg(m.model, m.upstream_model)
        FROM channel_models AS m WHERE m.channel_id = c.id AND m.upstream_model IS NOT NULL
    ) AS model_mapping,
    ARRAY(SELECT g.group_name FROM channel_groups AS g WHERE g.channel_id = c.id ORDER BY g.group_name) AS groups,
    (
        SELECT jsonb_agg(jsonb_build_object(
            'id', k.id, 'last_four', k.last_four, 'status', k.status, 'status_reason', k.status_reason,
            'remark', k.remark, 'create_time', greatest('0001-01-03Z', least(k.created_time, '9999-12-30Z'))
        ) ORDER BY k.id)
        FROM channel_keys AS k WHERE k.channel_id = c.id
    ) AS keys
FROM channels AS c
"""
_ABILITY: Final = """
SELECT
    a."group", a.model, a.channel_id, a.channel_name, a.enabled, a.effective, a.priority, a.weight,
    NOT a.enabled OR a.priority <> c.priority OR a.weight <> c.weight AS overridden,
    coalesce(a.upstream_model, a.model) AS upstream_model
FROM abilities AS a JOIN channels AS c ON c.id = a.channel_id
"""
_KEY: Final = "SELECT id, last_four, status, status_reason, remark, created_time AS create_time FROM channel_keys"
_GROUP: Final = "SELECT name, remark, revision, created_time AS create_time FROM groups"
# A time that a hand set to infinity is shown as one that Python has, in every time zone.
_API_KEY: Final = """
SELECT
    id, name, last_four, group_name, fallback_groups, model_allow_list, address_allow_list::text[] AS networks, status,
    remark,
    CASE WHEN expire_time IS NOT NULL THEN greatest('0001-01-03Z', least(expire_time, '9999-12-30Z')) END AS expire_time,
    revision, content_hash, created_time, updated_time
FROM api_keys
"""
_REVISION: Final = "SELECT *, encode(chain, 'hex') AS chain_hex FROM revisions"
_LEASE: Final = """
SELECT
    r.id, r.address, r.incarnation, r.applied_revision, encode(r.applied_chain, 'hex') AS applied_chain, r.state, r.version,
    r.expire_time, r.start_time, r.expire_time > clock_timestamp() AS live,
    extract(EPOCH FROM greatest('0001-01-03Z', least(r.expire_time, '9999-12-30Z')) - clock_timestamp())::float8 AS lease_left
FROM routers AS r
"""
# The timeline of the log, which every promotion counts on; a standby has none of its own to tell.
_SERVER: Final = "CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END"


# --- one resource ---------------------------------------------------------------------------------------------------


async def channel(connection: Connection, channel_id: int) -> Channel:
    """Read a channel. Raises NotFound."""
    return await _one(connection, _CHANNEL + "WHERE c.id = %s", (channel_id,), rows.channel, "channel")


async def api_key(connection: Connection, api_key_id: int) -> ApiKey:
    """Read an API key. Raises NotFound."""
    return await _one(connection, _API_KEY + " WHERE id = %s", (api_key_id,), rows.api_key, "API key")


async def group(connection: Connection, name: str) -> Group:
    """Read a group. Raises NotFound."""
    return await _one(connection, _GROUP + " WHERE name = %s", (name,), lambda row: Group(**row), "group")


async def ability(connection: Connection, group_name: str, model: str, channel_id: int) -> Ability:
    """Read an ability. Raises NotFound."""
    where = 'WHERE a."group" = %s AND a.model = %s AND a.channel_id = %s'
    wanted = (group_name, model, channel_id)
    return await _one(connection, _ABILITY + where, wanted, lambda row: Ability(**row), "ability")


async def channel_key(connection: Connection, channel_id: int, key_id: int) -> ChannelKey:
    """Read a channel key, without its secret. Raises NotFound."""
    where = " WHERE channel_id = %s AND id = %s"
    wanted = (channel_id, key_id)
    return await _one(connection, _KEY + where, wanted, lambda row: ChannelKey(**row), "channel key")


async def known_groups(connection: Connection, names: Sequence[str]) -> frozenset[str]:
    """Tell which of these groups exist."""
    asked = [name for name in {name.strip() for name in names} if "\0" not in name]
    cursor = await connection.execute("SELECT name FROM groups WHERE name = ANY(%s)", (asked,))
    return frozenset(name for (name,) in await cursor.fetchall())


# --- lists ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFilter:
    """Which channels to list; what is empty does not filter."""

    group: str = ""
    model: str = ""
    tag: str = ""
    status: str = ""


async def channels(connection: Connection, wanted: ChannelFilter, paging: Paging) -> Page[Channel]:
    """List channels by id."""
    query = ListQuery(_CHANNEL, ["c.id"], paging.after(int))
    query.where_given(
        "EXISTS (SELECT FROM channel_groups AS g WHERE g.channel_id = c.id AND g.group_name = %s)", wanted.group
    )
    query.where_given(
        "EXISTS (SELECT FROM channel_models AS m WHERE m.channel_id = c.id AND m.model = %s)", wanted.model
    )
    query.where_given("%s = ANY (c.tags)", wanted.tag)
    query.where_given("c.status = %s", wanted.status)
    return await query.page(connection, paging.limit(), rows.channel, lambda row: [row.id])


async def channel_keys(connection: Connection, channel_id: int) -> tuple[ChannelKey, ...]:
    """List a channel's keys by id, without their secrets. Raises NotFound when there is no such channel."""
    return (await channel(connection, channel_id)).keys


async def abilities(
    connection: Connection, group_name: str, model: str, channel_id: int, paging: Paging
) -> Page[Ability]:
    """List abilities by group, model and channel."""
    query = ListQuery(_ABILITY, ['a."group"', "a.model", "a.channel_id"], paging.after(str, str, int))
    query.where_given('a."group" = %s', group_name)
    query.where_given("a.model = %s", model)
    query.where_given("a.channel_id = %s", channel_id)
    return await query.page(
        connection, paging.limit(), lambda row: Ability(**row), lambda row: [row.group, row.model, row.channel_id]
    )


async def groups(connection: Connection, paging: Paging) -> Page[Group]:
    """List groups by name."""
    query = ListQuery(_GROUP, ["name"], paging.after(str))
    return await query.page(connection, paging.limit(), lambda row: Group(**row), lambda row: [row.name])


async def api_keys(connection: Connection, group_name: str, paging: Paging) -> Page[ApiKey]:
    """List API keys by id."""
    query = ListQuery(_API_KEY, ["id"], paging.after(int))
    query.where_given("group_name = %s", group_name)
    return await query.page(connection, paging.limit(), rows.api_key, lambda row: [row.id])


async def routers(connection: Connection, paging: Paging) -> Page[RouterLease]:
    """List routers by id: those with a live lease, and those whose lease ran out within the last hour."""
    query = ListQuery(_LEASE, ["r.id"], paging.after(str))
    query.where("r.expire_time > now() - interval '1 hour'")
    return await query.page(connection, paging.limit(), rows.lease, lambda row: [row.id])


async def revisions(connection: Connection, channel_id: int, paging: Paging) -> Page[Revision]:
    """List changes of the catalog, newest first."""
    query = ListQuery(_REVISION, ["revision"], paging.after(int), newest_first=True)
    query.where_given("%s = ANY (touched_channels)", channel_id)
    return await query.page(connection, paging.limit(), rows.revision, lambda row: [row.token.revision])


# --- what the broadcaster follows -----------------------------------------------------------------------------------


async def head_and_leases(connection: Connection) -> Sight:
    """Read the head together with every lease that is live or ran out within the last minute."""
    statement = f"""
        SELECT h.revision AS head_revision, encode(h.chain, 'hex') AS head_chain, {_SERVER} AS server,
            extract(EPOCH FROM clock_timestamp())::float8 AS clock, l.*
        FROM catalog AS h LEFT JOIN ({_LEASE}) AS l ON l.lease_left > -60
        ORDER BY l.id LIMIT 1000
    """  # noqa: S608 - constants
    cursor = dict_cursor(connection)
    found = await (await cursor.execute(statement)).fetchall()
    first = found[0]
    leases = [rows.lease(row) for row in found if row["id"] is not None]
    return Sight(Token(first["head_revision"], first["head_chain"]), leases, first["clock"], first["server"])


async def chains(connection: Connection, asked: Sequence[int]) -> dict[int, str]:
    """Read the chains of those revisions that exist, in hexadecimal."""
    statement = "SELECT revision, encode(chain, 'hex') FROM revisions WHERE revision = ANY(%s)"
    return dict(await (await connection.execute(statement, (list(asked),))).fetchall())


async def _one(
    connection: Connection, statement: str, wanted: tuple[Any, ...], record: Callable[[Row], T], kind: str
) -> T:
    cursor = dict_cursor(connection)
    if not any(isinstance(part, str) and "\0" in part for part in wanted):
        await cursor.execute(sql.SQL(statement), wanted)
        row = await cursor.fetchone()
        if row is not None:
            return record(row)
    raise NotFound(kind=kind, id="/".join(map(str, wanted)))
