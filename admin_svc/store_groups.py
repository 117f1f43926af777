"""How groups and ability overrides are written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from psycopg import errors

from admin_svc import reads, rules
from admin_svc.database import Connection
from admin_svc.records import Ability, Group, Override
from trunkline.errors import AlreadyExists, GroupInUse


def create_group(draft: Group) -> Callable[[Connection], Awaitable[Group]]:
    """Write a new group. Raises InvalidFields, AlreadyExists."""

    async def write(connection: Connection) -> Group:
        faults = rules.Faults("group")
        group = rules.admit_group(draft, faults)
        faults.refuse_any()
        try:
            await connection.execute("INSERT INTO groups (name, remark) VALUES (%s, %s)", (group.name, group.remark))
        except errors.UniqueViolation:
            raise AlreadyExists(kind="group", id=group.name) from None
        return await reads.group(connection, group.name)

    return write


def delete_group(name: str) -> Callable[[Connection], Awaitable[None]]:
    """Delete a group and its abilities. Raises NotFound, GroupInUse (as own group or as a fallback)."""

    async def write(connection: Connection) -> None:
        await reads.group(connection, name)
        cursor = await connection.execute(
            "SELECT count(*) FROM api_keys WHERE group_name = %s OR %s = ANY (fallback_groups)", (name, name)
        )
        (users,) = await cursor.fetchone() or (0,)
        if users:
            raise GroupInUse(group=name, api_keys=users)
        await connection.execute("DELETE FROM groups WHERE name = %s", (name,))

    return write


def set_override(draft: Override) -> Callable[[Connection], Awaitable[Ability]]:
    """Make one ability differ from its channel. Raises NotFound, InvalidFields."""
    where = (draft.group, draft.model, draft.channel_id)

    async def write(connection: Connection) -> Ability:
        await reads.ability(connection, *where)
        faults = rules.Faults()
        own = rules.admit_override(draft, faults)
        faults.refuse_any()
        await connection.execute(
            """
            INSERT INTO ability_overrides (group_name, model, channel_id, enabled, priority, weight)
            VALUES (%s, %s, %s, %s, %s, %s)
            ON CONFLICT (channel_id, group_name, model) DO UPDATE
            SET enabled = excluded.enabled, priority = excluded.priority, weight = excluded.weight
            """,
            (*where, own.enabled, own.priority, own.weight),
        )
        return await reads.ability(connection, *where)

    return write


def delete_override(group: str, model: str, channel_id: int) -> Callable[[Connection], Awaitable[Ability]]:
    """Make one ability follow its channel again; one that does already is fine. Raises NotFound."""
    where = (group, model, channel_id)

    async def write(connection: Connection) -> Ability:
        await reads.ability(connection, *where)
        await connection.execute(
            "DELETE FROM ability_overrides WHERE group_name = %s AND model = %s AND channel_id = %s", where
        )
        return await reads.ability(connection, *where)

    return write
