"""Reads of the catalog: each answers records from one statement, and so from one moment.

The law: what a hand has broken in one row (a header override that is no object, say) is shown as far as it can be, and never
makes a list unreadable. Lists are paged by key, so a page costs the same wherever it is and no row is skipped.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from psycopg import sql
from psycopg.rows import dict_row

from admin_svc.database import Connection
from admin_svc.records import (
    Ability,
    ApiKey,
    Channel,
    ChannelKey,
    Group,
    Page,
    Revision,
    RouterLease,
    Timeouts,
    Token,
)
from trunkline.errors import FieldFault, InvalidFields, NotFound

T = TypeVar("T")
Row = Mapping[str, Any]

_DEFAULT_PAGE: Final = 100
_LARGEST_PAGE: Final = 1_000
_HASH_BITS: Final = (1 << 64) - 1

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
            'remark', k.remark, 'create_time', k.created_time
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
    extract(EPOCH FROM r.expire_time - clock_timestamp())::float8 AS lease_left
FROM routers AS r
"""


# --- one resource ---------------------------------------------------------------------------------------------------


async def channel(connection: Connection, channel_id: int) -> Channel:
    """Read a channel. Raises NotFound."""
    return await _one(connection, _CHANNEL + "WHERE c.id = %s", (channel_id,), _channel, "channel")


async def api_key(connection: Connection, api_key_id: int) -> ApiKey:
    """Read an API key. Raises NotFound."""
    return await _one(connection, _API_KEY + " WHERE id = %s", (api_key_id,), _api_key, "API key")


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


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page to read: how many rows (the default when zero), and the token of the page before."""

    size: int = 0
    token: str = ""

    def limit(self) -> int:
        """Bound the page. Raises InvalidFields."""
        if not 0 <= self.size <= _LARGEST_PAGE:
            raise InvalidFields([FieldFault("page_size", f"must be from 1 to {_LARGEST_PAGE:,}, not {self.size:,}")])
        return self.size or _DEFAULT_PAGE

    def after(self, *kinds: type) -> list[Any]:
        """Read the key after which the page begins; empty at the start. Raises InvalidFields."""
        if not self.token:
            return []
        try:
            key = json.loads(base64.urlsafe_b64decode(self.token.encode("ascii")))
            if [type(part) for part in key] == list(kinds) and "\0" not in "".join(map(str, key)):
                return list(key)
        except (ValueError, TypeError, RecursionError):
            pass
        raise InvalidFields([FieldFault("page_token", "is not one that this list gave out")])


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFilter:
    """Which channels to list; what is empty does not filter."""

    group: str = ""
    model: str = ""
    tag: str = ""
    status: str = ""


async def channels(connection: Connection, wanted: ChannelFilter, paging: Paging) -> Page[Channel]:
    """List channels by id."""
    query = _Query(_CHANNEL, ["c.id"], paging.after(int))
    query.where_given(
        "EXISTS (SELECT FROM channel_groups AS g WHERE g.channel_id = c.id AND g.group_name = %s)", wanted.group
    )
    query.where_given(
        "EXISTS (SELECT FROM channel_models AS m WHERE m.channel_id = c.id AND m.model = %s)", wanted.model
    )
    query.where_given("%s = ANY (c.tags)", wanted.tag)
    query.where_given("c.status = %s", wanted.status)
    return await query.page(connection, paging.limit(), _channel, lambda row: [row.id])


async def channel_keys(connection: Connection, channel_id: int) -> tuple[ChannelKey, ...]:
    """List a channel's keys by id, without their secrets. Raises NotFound when there is no such channel."""
    return (await channel(connection, channel_id)).keys


async def abilities(
    connection: Connection, group_name: str, model: str, channel_id: int, paging: Paging
) -> Page[Ability]:
    """List abilities by group, model and channel."""
    query = _Query(_ABILITY, ['a."group"', "a.model", "a.channel_id"], paging.after(str, str, int))
    query.where_given('a."group" = %s', group_name)
    query.where_given("a.model = %s", model)
    query.where_given("a.channel_id = %s", channel_id)
    return await query.page(
        connection, paging.limit(), lambda row: Ability(**row), lambda row: [row.group, row.model, row.channel_id]
    )


async def groups(connection: Connection, paging: Paging) -> Page[Group]:
    """List groups by name."""
    query = _Query(_GROUP, ["name"], paging.after(str))
    return await query.page(connection, paging.limit(), lambda row: Group(**row), lambda row: [row.name])


async def api_keys(connection: Connection, group_name: str, paging: Paging) -> Page[ApiKey]:
    """List API keys by id."""
    query = _Query(_API_KEY, ["id"], paging.after(int))
    query.where_given("group_name = %s", group_name)
    return await query.page(connection, paging.limit(), _api_key, lambda row: [row.id])


async def routers(connection: Connection, paging: Paging) -> Page[RouterLease]:
    """List routers by id: those with a live lease, and those whose lease ran out within the last hour."""
    query = _Query(_LEASE, ["r.id"], paging.after(str))
    query.where("r.expire_time > now() - interval '1 hour'")
    return await query.page(connection, paging.limit(), _lease, lambda row: [row.id])


async def revisions(connection: Connection, channel_id: int, paging: Paging) -> Page[Revision]:
    """List changes of the catalog, newest first."""
    query = _Query(_REVISION, ["revision"], paging.after(int), newest_first=True)
    query.where_given("%s = ANY (touched_channels)", channel_id)
    return await query.page(connection, paging.limit(), _revision, lambda row: [row.token.revision])


# --- what the broadcaster follows -----------------------------------------------------------------------------------


async def head_and_leases(connection: Connection) -> tuple[Token, list[RouterLease]]:
    """Read the head together with every lease that is live or ran out within the last minute."""
    statement = f"""
        SELECT h.revision AS head_revision, encode(h.chain, 'hex') AS head_chain, l.*
        FROM catalog AS h LEFT JOIN ({_LEASE}) AS l ON l.lease_left > -60
        ORDER BY l.id LIMIT 1000
    """  # noqa: S608 - constants
    cursor = connection.cursor(row_factory=dict_row)
    rows = await (await cursor.execute(statement)).fetchall()
    head = Token(rows[0]["head_revision"], rows[0]["head_chain"])
    return head, [_lease(row) for row in rows if row["id"] is not None]


async def chains(connection: Connection, asked: Sequence[int]) -> dict[int, str]:
    """Read the chains of those revisions that exist, in hexadecimal."""
    statement = "SELECT revision, encode(chain, 'hex') FROM revisions WHERE revision = ANY(%s)"
    return dict(await (await connection.execute(statement, (list(asked),))).fetchall())


# --- inside ---------------------------------------------------------------------------------------------------------


class _Query:
    """A list in the making: conditions, and paging by the columns it is ordered by."""

    def __init__(self, select: str, key: Sequence[str], after: Sequence[Any], *, newest_first: bool = False) -> None:
        self._select, self._key, self._order = select, ", ".join(key), " DESC" if newest_first else ""
        self._conditions: list[str] = []
        self._values: list[Any] = []
        if after:
            places = ", ".join(["%s"] * len(after))
            self.where(f"({self._key}) {'<' if newest_first else '>'} ({places})", *after)

    def where(self, condition: str, *values: Any) -> None:
        self._conditions.append(condition)
        self._values.extend(values)

    def where_given(self, condition: str, value: str | int) -> None:
        """Filter by a value, if it is one. Text that no row can hold (a NUL) is answered by no row."""
        if isinstance(value, str) and "\0" in value:
            self.where("false")
        elif value:
            self.where(condition, value)

    async def page(
        self, connection: Connection, limit: int, record: Callable[[Row], T], key_of: Callable[[T], list[Any]]
    ) -> Page[T]:
        conditions = f" WHERE {' AND '.join(self._conditions)}" if self._conditions else ""
        ordered = ", ".join(f"{column}{self._order}" for column in self._key.split(", "))
        statement = f"{self._select}{conditions} ORDER BY {ordered} LIMIT {limit + 1}"
        cursor = connection.cursor(row_factory=dict_row)
        await cursor.execute(sql.SQL(statement), self._values)
        items = [record(row) for row in await cursor.fetchall()]
        token = ""
        if len(items) > limit:
            key = json.dumps(key_of(items[limit - 1]), separators=(",", ":"))
            token = base64.urlsafe_b64encode(key.encode()).decode()
        return Page(items=tuple(items[:limit]), next_page_token=token)


async def _one(
    connection: Connection, statement: str, wanted: tuple[Any, ...], record: Callable[[Row], T], kind: str
) -> T:
    cursor = connection.cursor(row_factory=dict_row)
    if not any(isinstance(part, str) and "\0" in part for part in wanted):
        await cursor.execute(sql.SQL(statement), wanted)
        row = await cursor.fetchone()
        if row is not None:
            return record(row)
    raise NotFound(kind=kind, id="/".join(map(str, wanted)))


def _channel(row: Row) -> Channel:
    return Channel(
        **{name: row[name] for name in ("id", "name", "provider", "base_url", "status", "status_reason", "priority")},
        **{name: row[name] for name in ("weight", "remark", "revision")},
        etag=_etag(row),
        models=tuple(row["models"]),
        model_mapping=row["model_mapping"] or {},
        groups=tuple(row["groups"]),
        tags=tuple(row["tags"]),
        header_overrides={name: _text(value) for name, value in _object(row["header_overrides"]).items()},
        parameter_overrides=_object(row["parameter_overrides"]),
        timeouts=Timeouts(
            connect_ms=row["connect_timeout_ms"],
            first_byte_ms=row["first_byte_timeout_ms"],
            idle_ms=row["idle_timeout_ms"],
            total_ms=row["total_timeout_ms"],
        ),
        keys=msgspec.convert(row["keys"] or [], tuple[ChannelKey, ...]),
        create_time=row["created_time"],
        update_time=row["updated_time"],
    )


def _api_key(row: Row) -> ApiKey:
    return ApiKey(
        **{name: row[name] for name in ("id", "name", "last_four", "expire_time", "status", "remark", "revision")},
        etag=_etag(row),
        group=row["group_name"],
        fallback_groups=tuple(row["fallback_groups"]),
        model_allow_list=tuple(row["model_allow_list"]),
        address_allow_list=tuple(row["networks"]),
        create_time=row["created_time"],
        update_time=row["updated_time"],
    )


def _revision(row: Row) -> Revision:
    return Revision(
        token=Token(row["revision"], row["chain_hex"]),
        actor=row["actor"],
        action=row["action"],
        request_id=row["request_id"] or "",
        touched_channel_ids=tuple(row["touched_channels"]),
        touched_channel_count=row["touched_count"],
        change_time=row["change_time"],
    )


def _lease(row: Row) -> RouterLease:
    return RouterLease(
        **{name: row[name] for name in ("id", "address", "incarnation", "state", "version", "expire_time")},
        **{name: row[name] for name in ("start_time", "live", "lease_left")},
        applied=Token(row["applied_revision"], row["applied_chain"]),
    )


def _etag(row: Row) -> str:
    return format(row["content_hash"] & _HASH_BITS, "016x")


def _object(value: Any) -> dict[str, Any]:
    """Take an object out of a JSON column; also one that was written into it as a string, as other products do."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
