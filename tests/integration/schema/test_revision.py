"""The numbers: one a transaction, in commit order, without a gap, each with its place in the history."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from tests.harness.waiting import eventually
from tests.integration.schema.catalog import Catalog

WRITERS = 32
CHANGES_EACH = 6


def test_a_transaction_takes_one_revision_whatever_it_touches(catalog: Catalog) -> None:
    """All seven tables, several times each, are one step."""
    before = catalog.revision
    with catalog.transaction():
        catalog.run("INSERT INTO groups (name) VALUES ('vip')")
        first = catalog.add_channel("a", models=["m", "n"], groups=["default", "vip"], keys=["k", "l"])
        catalog.run(
            "INSERT INTO ability_overrides (group_name, model, channel_id, weight) VALUES ('vip', 'n', %s, 2)", first
        )
        catalog.add_api_key("me", "vip")
        catalog.run("UPDATE channels SET weight = 5")
        catalog.run("DELETE FROM channel_models WHERE model = 'm'")
    assert catalog.revision == before + 1
    assert catalog.channel(first).revision == before + 1
    assert catalog.value("SELECT count(*) FROM revisions WHERE revision = %s", before + 1) == 1


def test_the_chain_ties_each_revision_to_the_one_before(catalog: Catalog) -> None:
    """Only who knows the randomness can make a chain, and no two revisions share one."""
    for name in ("a", "b", "c"):
        catalog.add_channel(name)
    history = catalog.rows("SELECT revision, chain FROM router_revisions ORDER BY revision")
    assert [row["revision"] for row in history] == list(range(len(history)))
    assert len({row["chain"] for row in history}) == len(history)
    assert {len(row["chain"]) for row in history} == {hashlib.sha256().digest_size}
    assert history[-1]["chain"] == catalog.head()["chain"]


def test_begin_change_answers_the_same_number_until_the_transaction_ends(catalog: Catalog) -> None:
    """A writer may call it first, the triggers call it again, and it is one number."""
    with catalog.transaction():
        taken = catalog.value("SELECT begin_change()")
        catalog.add_channel("a")
        assert catalog.value("SELECT begin_change()") == taken
    assert catalog.revision == taken
    assert catalog.value("SELECT begin_change()") == taken + 1


def test_a_transaction_rolled_back_leaves_no_gap(catalog: Catalog) -> None:
    """A number is taken by what commits."""
    before = catalog.head()
    with catalog.transaction(undo=True):
        catalog.add_channel("a")
        assert catalog.revision == before["revision"] + 1
    assert catalog.head() == before


def test_a_savepoint_rolled_back_gives_back_number_and_digest(catalog: Catalog) -> None:
    """What is undone was never numbered, and what follows in the same transaction is numbered once."""
    kept = catalog.add_channel("kept")
    before = catalog.head()
    with catalog.transaction():
        with catalog.transaction(undo=True):
            catalog.run("UPDATE channels SET weight = 7")
            catalog.add_channel("lost")
            assert catalog.revision == before["revision"] + 1
        assert catalog.head() == before
        catalog.run("UPDATE channels SET priority = 1")
        with catalog.transaction(undo=True):
            catalog.run("UPDATE channels SET priority = 2")
    assert catalog.revision == before["revision"] + 1
    assert catalog.latest()["touched_channels"] == [kept]


def test_revisions_are_dense_under_many_writers(migrated_dsn: str, catalog: Catalog) -> None:
    """Whatever order 32 writers take rows in, each commit has its own number, none is missing and none deadlocks."""
    channels = [catalog.add_channel(f"c{number}") for number in range(8)]
    before = catalog.revision

    def write(writer: int) -> list[int]:
        with Catalog(migrated_dsn) as own:
            return [_change(own, channels, writer + turn) for turn in range(CHANGES_EACH)]

    with ThreadPoolExecutor(WRITERS) as pool:
        taken = sorted(revision for revisions in pool.map(write, range(WRITERS)) for revision in revisions)
    assert taken == list(range(before + 1, before + 1 + WRITERS * CHANGES_EACH))
    assert catalog.revision == taken[-1]


def _change(own: Catalog, channels: list[int], number: int) -> int:
    one, other = channels[number % 8], channels[(number * 5 + 3) % 8]
    with own.transaction():
        match number % 4:
            case 0:
                own.run("UPDATE channels SET weight = weight + 1 WHERE id = %s", one)
                own.run("UPDATE channels SET weight = weight + 1 WHERE id = %s", other)
            case 1:
                own.run("UPDATE channel_keys SET remark = remark || 'x' WHERE channel_id IN (%s, %s)", other, one)
            case 2:
                own.run("INSERT INTO channel_models VALUES (%s, gen_random_uuid()::text)", one)
                own.run("UPDATE groups SET remark = remark || 'x'")
            case _:
                own.add_channel(f"new {number} {own.connection.info.backend_pid}")
        return own.revision


def test_a_reader_that_goes_by_numbers_misses_no_commit(migrated_dsn: str) -> None:
    """Once revision R is visible, nothing at or below R can still appear."""
    stop = threading.Event()

    def write(writer: int) -> int:
        with Catalog(migrated_dsn) as own:
            for number in range(10):
                own.add_channel(f"{writer} {number}", keys=[])
            return 10

    def follow() -> set[int]:
        seen: set[int] = set()
        at = 0
        with Catalog(migrated_dsn) as own:
            while True:
                last = stop.is_set()
                new = own.column("SELECT revision FROM router_channels WHERE revision > %s", at)
                seen.update(new)
                at = max([at, *new])
                if last:
                    return seen

    with ThreadPoolExecutor(9) as pool:
        follower = pool.submit(follow)
        written = sum(pool.map(write, range(8)))
        stop.set()
        assert len(follower.result(30)) == written


def test_checking_rows_after_begin_change_cannot_deadlock(migrated_dsn: str, catalog: Catalog) -> None:
    """Writers queue at the head before they hold a row; so an etag check never meets a writer in the opposite order."""
    channel_id = catalog.add_channel("a")

    def compare_and_set() -> None:
        with Catalog(migrated_dsn) as own, own.transaction():
            own.run("SELECT begin_change()")
            etag = own.row("SELECT weight, content_hash FROM channels WHERE id = %s FOR UPDATE", channel_id)
            own.run("UPDATE channels SET weight = %s WHERE id = %s", etag["weight"] + 1, channel_id)

    with ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(compare_and_set) for _ in range(48)]:
            done.result(30)
    assert catalog.value("SELECT weight FROM channels") == 1 + 48


def test_a_second_writer_waits_for_the_first_and_sees_what_it_left(migrated_dsn: str, catalog: Catalog) -> None:
    """READ COMMITTED writers decide on what is committed, because they read after they have the lock."""
    channel_id = catalog.add_channel("a")
    with Catalog(migrated_dsn) as first, ThreadPoolExecutor(1) as pool:
        first.run("BEGIN")
        first.run("UPDATE channels SET weight = 10 WHERE id = %s", channel_id)
        second = pool.submit(catalog.run, "UPDATE channels SET weight = weight * 2 WHERE id = %s", channel_id)
        eventually(lambda: first.column("SELECT pid FROM pg_locks WHERE NOT granted"))
        first.run("COMMIT")
        second.result(10)
    assert catalog.value("SELECT weight FROM channels") == 20


def test_a_writer_on_an_old_snapshot_fails_instead_of_forking_the_history(migrated_dsn: str, catalog: Catalog) -> None:
    """REPEATABLE READ writers get a serialization failure, never a second revision of the same number."""
    catalog.add_channel("a")
    with Catalog(migrated_dsn) as old:
        old.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
        old.rows("SELECT * FROM channels")
        catalog.run("UPDATE channels SET weight = 2")
        with pytest.raises(psycopg.errors.SerializationFailure):
            old.run("UPDATE groups SET remark = 'x'")


def test_a_mark_left_by_a_restored_database_does_not_fool_begin_change(catalog: Catalog) -> None:
    """A transaction id can come twice in the life of a catalog; with its time it cannot."""
    with catalog.transaction():
        before = catalog.revision
        catalog.run("UPDATE catalog SET mark_xid = pg_current_xact_id(), mark_time = now() - %s", timedelta(days=1))
        catalog.run("UPDATE groups SET remark = 'x'")
    assert catalog.revision == before + 1


def test_history_says_who_did_what_under_which_request(catalog: Catalog) -> None:
    """Actor, action and request id arrive by settings of the transaction; a plain session is known by its role."""
    catalog.add_channel("typed")
    assert catalog.latest()["action"] == "sql"
    assert catalog.latest()["actor"] == catalog.value("SELECT session_user::text")
    with catalog.transaction():
        for name, value in (("actor", "alice"), ("action", "channels.create"), ("request_id", "r-1")):
            catalog.run("SELECT set_config(%s, %s, true)", f"trunkline.{name}", value)
        channel_id = catalog.add_channel("asked")
    asked = catalog.latest()
    assert (asked["actor"], asked["action"], asked["request_id"]) == ("alice", "channels.create", "r-1")
    assert (asked["touched_channels"], asked["touched_count"]) == ([channel_id], 1)
    catalog.add_channel("typed again")
    assert catalog.latest()["request_id"] is None


def test_a_request_id_is_good_for_one_revision(catalog: Catalog) -> None:
    """A repeated request is recognised by the name of the constraint, and changes nothing."""

    def add(name: str) -> None:
        with catalog.transaction():
            catalog.run("SELECT set_config('trunkline.request_id', 'r-1', true)")
            catalog.add_channel(name)

    add("a")
    before = catalog.head()
    with pytest.raises(psycopg.errors.UniqueViolation) as refused:
        add("b")
    assert refused.value.diag.constraint_name == "revisions_request_id_key"
    assert catalog.head() == before
