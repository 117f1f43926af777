"""What was written past the triggers is found, and mended once it stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from admin_svc.soundness import Soundness, faults_of
from tests.harness.postgres import SUPERUSER, as_role
from trunkline.database import Pool, open_pool
from trunkline.secret import Secret

Hand = psycopg.AsyncConnection[Any]
_CHANNEL = "INSERT INTO channels (name, provider, base_url) VALUES ('a', 'openai', 'http://a') RETURNING id"
UNSEEN = (
    "UPDATE channels SET status = 'DISABLED'",
    "INSERT INTO channel_models (channel_id, model) SELECT id, 'unseen' FROM channels",
    "DELETE FROM channel_groups",
    "INSERT INTO groups (name) VALUES ('unseen')",
    "DELETE FROM channels",
)
"""Changes that no trigger shall see."""


@pytest.fixture
async def hand(migrated_dsn: str) -> AsyncIterator[Hand]:
    """A hand that may switch triggers off."""
    async with await psycopg.AsyncConnection.connect(as_role(migrated_dsn, SUPERUSER), autocommit=True) as connection:
        await connection.execute("INSERT INTO groups (name) VALUES ('g')")
        row = await (await connection.execute(_CHANNEL)).fetchone()
        assert row is not None
        await connection.execute("INSERT INTO channel_models (channel_id, model) VALUES (%s, 'm')", row)
        await connection.execute("INSERT INTO channel_groups (channel_id, group_name) VALUES (%s, 'g')", row)
        yield connection


@pytest.fixture
async def pool(migrated_dsn: str) -> AsyncIterator[Pool]:
    """As the admin has it: of the plain owner."""
    async with open_pool(Secret(migrated_dsn), "test") as opened:
        yield opened


async def faults(hand: Hand) -> list[Any]:
    """What the catalog's own check finds."""
    return await (await hand.execute("SELECT * FROM catalog_digest_check()")).fetchall()


async def unseen(hand: Hand, statement: str) -> None:
    """Write past the triggers."""
    await hand.execute("SET session_replication_role = replica")
    await hand.execute(statement.encode())
    await hand.execute("RESET session_replication_role")


@pytest.mark.parametrize("statement", UNSEEN)
async def test_a_change_that_no_trigger_saw_becomes_a_revision_at_the_second_look(
    hand: Hand, pool: Pool, statement: str
) -> None:
    """Whatever it wrote, stamps and digest are true again, under the next number."""
    before = await (await hand.execute("SELECT revision FROM catalog")).fetchone()
    await unseen(hand, statement)
    assert await faults(hand)
    soundness = Soundness(pool)
    assert await soundness.once() is None
    made = await soundness.once()
    assert before is not None
    assert made == before[0] + 1
    assert await faults(hand) == []
    last = await (await hand.execute("SELECT actor, action FROM revisions WHERE revision = %s", (made,))).fetchone()
    assert last == ("trunkline", "repair")


@pytest.mark.parametrize(
    "edit", ["digest = 0", "digest = digest + 1", "channel_count = 77", "group_count = 0", "api_key_count = 3"]
)
async def test_a_head_that_a_hand_has_edited_is_mended_while_changes_go_on(hand: Hand, pool: Pool, edit: str) -> None:
    """Ordinary changes between two looks move a sum and what it should be together, so the fault is still the same."""
    await hand.execute(f"UPDATE catalog SET {edit}".encode())
    soundness = Soundness(pool)
    assert await soundness.once() is None
    await hand.execute("UPDATE channels SET priority = priority + 1")
    await hand.execute("INSERT INTO groups (name) VALUES ('h')")
    assert await soundness.once() is not None
    assert await faults(hand) == []


@pytest.mark.parametrize(
    "edit",
    [
        "digest = 'NaN'",
        "digest = 'Infinity'",
        "digest = 0.5",
        "digest = 1e40",
        "digest = NULL",
        "channel_count = -1",
        "revision = 7",
        "chain = ''",
    ],
)
async def test_a_head_that_no_catalog_can_have_is_refused(hand: Hand, edit: str) -> None:
    """By the table itself, whoever types it."""
    with pytest.raises(psycopg.Error):
        await hand.execute(f"UPDATE catalog SET {edit}".encode())
    assert await faults(hand) == []


def test_a_sum_that_is_no_number_is_told_as_it_stands() -> None:
    """Past the constraint a hand can leave anything; looking at it ends no admin."""
    assert faults_of([("catalog", "", "digest", "NaN", "7"), ("catalog", "", "group_count", None, "1")]) == {
        ("catalog", "", "digest", "NaN 7"),
        ("catalog", "", "group_count", "None 1"),
    }
    assert faults_of([("catalog", "", "digest", "9", "7")]) == {("catalog", "", "digest", "2")}


async def test_what_moves_is_not_mended(hand: Hand, pool: Pool) -> None:
    """A restore that goes on changes what is wrong between two looks."""
    soundness = Soundness(pool)
    await unseen(hand, "INSERT INTO groups (name) VALUES ('first')")
    assert await soundness.once() is None
    await unseen(hand, "DELETE FROM groups WHERE name = 'first'")
    await unseen(hand, "UPDATE channels SET name = 'other'")
    assert await soundness.once() is None
    assert await soundness.once() is not None


async def test_nothing_is_mended_while_triggers_are_off(hand: Hand, pool: Pool) -> None:
    """As they are until a restore has ended."""
    soundness = Soundness(pool)
    await hand.execute("ALTER TABLE channel_models DISABLE TRIGGER USER")
    await hand.execute("DELETE FROM channel_models")
    assert [await soundness.once() for _ in range(3)] == [None] * 3
    await hand.execute("ALTER TABLE channel_models ENABLE TRIGGER USER")
    assert await soundness.once() is not None
    assert await faults(hand) == []


async def test_a_lost_head_row_is_made_anew(hand: Hand) -> None:
    """It goes on from the newest revision known."""
    newest = await (await hand.execute("SELECT max(revision) FROM revisions")).fetchone()
    await unseen(hand, "DELETE FROM catalog")
    made = await (await hand.execute("SELECT catalog_repair()")).fetchone()
    assert newest is not None
    assert made == (newest[0] + 1,)
    assert await faults(hand) == []


async def test_a_sound_catalog_is_left_alone(hand: Hand, pool: Pool) -> None:
    """No revision is made by looking."""
    before = await (await hand.execute("SELECT revision, digest FROM catalog")).fetchone()
    soundness = Soundness(pool)
    assert [await soundness.once() for _ in range(3)] == [None] * 3
    assert await (await hand.execute("SELECT revision, digest FROM catalog")).fetchone() == before
