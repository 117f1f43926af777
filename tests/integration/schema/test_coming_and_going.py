"""Rows that go leave tombstones, rows that come back rise from them, and cascades are changes like any other."""

from __future__ import annotations

import psycopg
import pytest

from tests.integration.schema.catalog import Catalog


def test_what_is_deleted_leaves_a_tombstone_at_its_revision(catalog: Catalog) -> None:
    """A delta can show what is gone."""
    catalog.run("INSERT INTO groups (name) VALUES ('vip')")
    channel_id, api_key_id = catalog.add_channel("a"), catalog.add_api_key("me")
    with catalog.transaction():
        catalog.run("DELETE FROM api_keys")
        catalog.run("DELETE FROM channels")
        catalog.run("DELETE FROM groups WHERE name = 'vip'")
    assert catalog.tombstones() == {("channel", str(channel_id)), ("api_key", str(api_key_id)), ("group", "vip")}
    assert set(catalog.column("SELECT revision FROM router_tombstones")) == {catalog.revision}
    head = catalog.head()
    assert (head["channel_count"], head["api_key_count"], head["group_count"]) == (0, 0, 1)
    assert catalog.latest()["touched_channels"] == [channel_id]


def test_a_channel_takes_its_children_with_it(catalog: Catalog) -> None:
    """One DELETE, one revision, nothing left over."""
    channel_id = catalog.add_channel("a", models=["m", "n"], keys=["k", "l"])
    catalog.run("INSERT INTO ability_overrides VALUES ('default', 'n', %s, false)", channel_id)
    before = catalog.revision
    catalog.run("DELETE FROM channels WHERE id = %s", channel_id)
    assert catalog.revision == before + 1
    for table in ("channel_keys", "channel_models", "channel_groups", "ability_overrides"):
        assert catalog.rows(f"SELECT * FROM {table}") == []


def test_a_group_that_goes_touches_the_channels_it_leaves(catalog: Catalog) -> None:
    """The cascade reaches memberships and overrides, and the channels learn of it in the same revision."""
    catalog.run("INSERT INTO groups (name) VALUES ('vip')")
    member, stranger = catalog.add_channel("a", groups=["default", "vip"]), catalog.add_channel("b")
    catalog.run("INSERT INTO ability_overrides VALUES ('vip', 'm', %s, false)", member)
    before = catalog.channel(stranger)
    catalog.run("DELETE FROM groups WHERE name = 'vip'")
    assert catalog.channel(member).revision == catalog.revision
    assert catalog.channel(stranger) == before
    assert catalog.rows("SELECT * FROM ability_overrides") == []


def test_a_group_that_is_renamed_takes_everything_along(catalog: Catalog) -> None:
    """The old name is buried; memberships, overrides and API keys follow, each with its stamp."""
    catalog.run("INSERT INTO groups (name) VALUES ('vip')")
    channel_id = catalog.add_channel("a", groups=["vip"])
    catalog.run("INSERT INTO ability_overrides VALUES ('vip', 'm', %s, false)", channel_id)
    api_key_id = catalog.add_api_key("me", "vip")
    before = catalog.revision
    catalog.run("UPDATE groups SET name = 'gold' WHERE name = 'vip'")
    now = before + 1
    assert catalog.revision == now
    assert catalog.row('SELECT "group", enabled FROM abilities') == {"group": "gold", "enabled": False}
    assert catalog.channel(channel_id).revision == now
    assert catalog.row("SELECT group_name, revision FROM api_keys WHERE id = %s", api_key_id) == {
        "group_name": "gold",
        "revision": now,
    }
    assert catalog.tombstones() == {("group", "vip")}
    assert catalog.head()["group_count"] == 2


def test_a_group_with_api_keys_cannot_go(catalog: Catalog) -> None:
    """A caller is never left without a group."""
    catalog.run("INSERT INTO groups (name) VALUES ('vip')")
    catalog.add_api_key("me", "vip")
    with pytest.raises(psycopg.errors.IntegrityError):
        catalog.run("DELETE FROM groups WHERE name = 'vip'")


def test_a_row_put_back_under_its_id_is_no_longer_buried(catalog: Catalog) -> None:
    """Deleted and back, whether in one transaction or in two, is there, with a revision that every router still needs."""
    channel_id = catalog.add_channel("a")
    put_back = "INSERT INTO channels (id, name, provider, base_url) VALUES (%s, 'again', 'p', 'u')"
    catalog.run("DELETE FROM channels")
    catalog.run(put_back, channel_id)
    assert catalog.tombstones() == set()
    assert catalog.channel(channel_id).revision == catalog.revision
    with catalog.transaction():
        catalog.run("DELETE FROM channels")
        catalog.run(put_back, channel_id)
    assert catalog.tombstones() == set()
    assert catalog.channel(channel_id).revision == catalog.revision
    catalog.run("DELETE FROM channels")
    assert catalog.tombstones() == {("channel", str(channel_id))}


def test_a_changed_id_is_a_row_gone_and_a_row_come(catalog: Catalog) -> None:
    """Routers know rows by id, whatever an operator does to them."""
    channel_id = catalog.add_channel("a", models=[], groups=[], keys=[])
    catalog.run("UPDATE channels SET id = id + 100")
    assert catalog.tombstones() == {("channel", str(channel_id))}
    assert catalog.channel(channel_id + 100).revision == catalog.revision
    assert catalog.latest()["touched_count"] == 2


def test_an_id_given_by_hand_is_not_given_out_again(catalog: Catalog) -> None:
    """Putting back a lost channel does not make a later create fail."""
    catalog.run("INSERT INTO channels (id, name, provider, base_url) VALUES (7, 'a', 'p', 'u'), (3, 'b', 'p', 'u')")
    assert catalog.add_channel("c", models=[], groups=[], keys=[]) == 8
    catalog.run("UPDATE channels SET id = 20 WHERE id = 8")
    assert catalog.add_channel("d") == 21
    catalog.run("INSERT INTO channel_keys (id, channel_id, sealed) VALUES (9, 21, 'x')")
    assert catalog.value("INSERT INTO channel_keys (channel_id, sealed) VALUES (21, 'x') RETURNING id") == 10
    catalog.run("INSERT INTO api_keys (id, name, hash) VALUES (5, 'a', sha256('a'))")
    assert catalog.add_api_key("b") == 6


def test_pruning_keeps_the_newest_revision_and_every_tombstone_a_kept_revision_needs(catalog: Catalog) -> None:
    """A router at the oldest kept revision can still follow by delta; an older one finds its revision gone."""
    for name in ("a", "b", "c"):
        catalog.add_channel(name)
    catalog.run("DELETE FROM channels WHERE name = 'a'")
    catalog.run("DELETE FROM channels WHERE name = 'b'")
    newest = catalog.revision
    catalog.run("UPDATE revisions SET change_time = now() - interval '2 days' WHERE revision < %s", newest - 1)
    pruned = catalog.row("SELECT * FROM prune_history('1 day')")
    assert pruned == {"revisions_deleted": newest - 1, "tombstones_deleted": 1}
    assert catalog.column("SELECT revision FROM router_revisions ORDER BY 1") == [newest - 1, newest]
    assert catalog.column("SELECT revision FROM router_tombstones") == [newest]
    assert catalog.row("SELECT * FROM prune_history('-1 day')")["revisions_deleted"] == 1
    assert catalog.column("SELECT revision FROM router_revisions") == [newest]
    assert catalog.tombstones() == set()


def test_pruning_for_an_unknown_span_prunes_nothing(catalog: Catalog) -> None:
    """A setting that is missing must not cost the history."""
    catalog.add_channel("a")
    catalog.run("SELECT prune_history(NULL)")
    assert len(catalog.rows("SELECT * FROM revisions")) == catalog.revision + 1


def test_pruning_never_waits_for_a_writer(migrated_dsn: str, catalog: Catalog) -> None:
    """A tombstone in a writer's hands is left for the next time."""
    for name in ("a", "b"):
        catalog.add_channel(name, models=[], groups=[], keys=[])
    catalog.run("DELETE FROM channels")
    catalog.run("UPDATE revisions SET change_time = now() - interval '2 days'")
    with Catalog(migrated_dsn) as writer, writer.transaction():
        writer.run("INSERT INTO channels (id, name, provider, base_url) VALUES (1, 'back', 'p', 'u')")
        catalog.run("SET lock_timeout = '1s'")
        assert catalog.row("SELECT * FROM prune_history('1 day')")["tombstones_deleted"] == 1
    assert catalog.tombstones() == set()
