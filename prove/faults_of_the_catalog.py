"""Faults of what the database holds: rows that nobody can read, and a head that a hand has edited.

Law: a row that cannot be read is nobody's trouble but its own channel's; a head that does not add up puts negatives off and
changes no answer. Both are put in by a hand, past whatever constraints would refuse them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any, Final

import psycopg

from prove.scene import NOBODY, Scene
from prove.world import FRESH_GROUP

_NAME: Final = "planted"
_PLANT: Final = (
    "INSERT INTO channels (name, provider, base_url)"
    " VALUES (%s, 'openai-compatible', 'http://127.0.0.1:9/v1') RETURNING id"
)
_CHILDREN: Final = (
    "INSERT INTO channel_models (channel_id, model) VALUES (%(id)s, 'planted')",
    "INSERT INTO channel_groups (channel_id, group_name) VALUES (%(id)s, %(group)s)",
    "INSERT INTO channel_keys (channel_id, sealed) VALUES (%(id)s, '\\x00ff')",
)
_DEEP: Final = "(repeat('[', 1000) || repeat(']', 1000))::jsonb"
"""JSON a thousand levels deep: what a reader that recurses does not survive."""
_SPOIL: Final = "UPDATE channels SET {} WHERE id = %(id)s"
ROTS: Final = tuple(
    _SPOIL.format(change)
    for change in (
        f"parameter_overrides = {_DEEP}",
        f"provider_options = jsonb_build_object('a', {_DEEP})",
        f"status_mapping = jsonb_build_object('429', {_DEEP})",
        f"header_overrides = jsonb_build_object('x-a', {_DEEP})",
        'parameter_overrides = \'[{"op": "explode"}]\'',
        "provider_options = '{\"a\": 1e400}'",
        "header_overrides = '7'",
        "base_url = 'not an address'",
        "proxy_sealed = '\\x01'",
    )
)
"""Statements that make the planted channel unreadable, each in another place."""
EDITS: Final = (
    "UPDATE catalog SET digest = 0",
    "UPDATE catalog SET digest = 'NaN'",
    "UPDATE catalog SET digest = digest + 1",
    "UPDATE catalog SET channel_count = channel_count + 1",
    "UPDATE catalog SET channel_count = 0",
)
"""Statements that leave a head which does not add up. What a constraint refuses is refused, and the next is tried."""


async def bad_rows_planted(scene: Scene) -> frozenset[str]:
    """Plant a channel in a group that no pick of the proof names, and spoil it in one place after another."""
    async with await _by_hand(scene) as connection:
        planted = await _planted(connection, scene.rng)
        try:
            for rot in scene.rng.sample(ROTS, len(ROTS)):
                await _spoil(connection, rot, planted)
                await asyncio.sleep(0.5 * scene.hold)
        finally:
            await connection.execute("DELETE FROM channels WHERE id = %s", (planted,))
    return NOBODY


async def head_edited(scene: Scene) -> None:
    """Edit the head by hand, leave it so for a while, and have the database repair it."""
    async with await _by_hand(scene) as connection:
        try:
            for edit in scene.rng.sample(EDITS, len(EDITS)):
                with contextlib.suppress(psycopg.errors.CheckViolation):
                    await connection.execute(edit.encode())
                await asyncio.sleep(scene.rng.uniform(0.2, 1.0) * scene.hold)
        finally:
            await connection.execute("SELECT catalog_repair()")


async def _planted(connection: psycopg.AsyncConnection[Any], rng: random.Random) -> int:
    async with connection.transaction():
        row = await (await connection.execute(_PLANT, (f"{_NAME}-{rng.getrandbits(32):08x}",))).fetchone()
        number = int(row[0]) if row is not None else 0
        for statement in _CHILDREN:
            await connection.execute(statement.encode(), {"id": number, "group": FRESH_GROUP})
    return number


async def _spoil(connection: psycopg.AsyncConnection[Any], rot: str, planted: int) -> None:
    """Write past the trigger that refuses what nobody can read. The head's lock comes first, as for every writer."""
    async with connection.transaction():
        await connection.execute("SELECT begin_change()")
        await connection.execute("ALTER TABLE channels DISABLE TRIGGER channels_legible")
        await connection.execute(rot.encode(), {"id": planted})
        await connection.execute("ALTER TABLE channels ENABLE TRIGGER channels_legible")


async def _by_hand(scene: Scene) -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(scene.cluster.dsn, autocommit=True)
