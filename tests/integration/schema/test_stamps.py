"""What a change touches: the row itself, the channel of a child, both channels of a child that moves; and nothing else."""

from __future__ import annotations

from itertools import pairwise

import psycopg
import pytest

from tests.integration.schema.catalog import Catalog

CHILDREN = {
    "channel_keys": "INSERT INTO channel_keys (channel_id, sealed) VALUES (%s, 'x')",
    "channel_models": "INSERT INTO channel_models VALUES (%s, 'x')",
    "channel_groups": "INSERT INTO channel_groups VALUES (%s, 'vip')",
    "ability_overrides": "INSERT INTO ability_overrides VALUES ('default', 'm', %s, false)",
}
CHANGES = {
    "channel_keys": "UPDATE channel_keys SET status = 'AUTO_DISABLED' WHERE channel_id = %s",
    "channel_models": "UPDATE channel_models SET upstream_model = 'y' WHERE channel_id = %s",
    "channel_groups": "UPDATE channel_groups SET group_name = 'gold' WHERE channel_id = %s AND group_name = 'vip'",
    "ability_overrides": "UPDATE ability_overrides SET weight = 9 WHERE channel_id = %s",
}


@pytest.fixture
def channels(catalog: Catalog) -> tuple[int, int]:
    """Two channels, and groups besides theirs."""
    catalog.run("INSERT INTO groups (name) VALUES ('vip'), ('gold')")
    return catalog.add_channel("a"), catalog.add_channel("b")


@pytest.mark.parametrize("table", CHILDREN)
def test_a_child_that_comes_changes_or_goes_touches_its_channel(
    catalog: Catalog, channels: tuple[int, int], table: str
) -> None:
    """A router reads channels whole, so a channel's revision and hash speak for its children."""
    one, other = channels
    at_rest = catalog.channel(other)
    seen = [catalog.channel(one)]
    for statement in (CHILDREN[table], CHANGES[table], f"DELETE FROM {table} WHERE channel_id = %s"):
        catalog.run(statement, one)
        seen.append(catalog.channel(one))
        assert seen[-1].revision == catalog.revision
        assert catalog.latest()["touched_channels"] == [one]
        assert catalog.faults() == []
    assert all(now.content_hash != then.content_hash for then, now in pairwise(seen))
    assert catalog.channel(other) == at_rest


@pytest.mark.parametrize("table", ["channel_keys", "channel_models", "channel_groups"])
def test_a_child_that_moves_touches_both_channels(catalog: Catalog, channels: tuple[int, int], table: str) -> None:
    """The one that lost it has changed as much as the one that got it."""
    one, other = channels
    catalog.run(f"DELETE FROM {table} WHERE channel_id = %s", other)
    before = catalog.channel(one), catalog.channel(other)
    catalog.run(f"UPDATE {table} SET channel_id = %s WHERE channel_id = %s", other, one)
    after = catalog.channel(one), catalog.channel(other)
    assert [stamp.revision for stamp in after] == [catalog.revision] * 2
    assert all(now.content_hash != then.content_hash for now, then in zip(after, before, strict=True))
    assert sorted(catalog.latest()["touched_channels"]) == sorted(channels)


def test_an_upsert_touches_for_what_it_inserts_and_for_what_it_updates(
    catalog: Catalog, channels: tuple[int, int]
) -> None:
    """One statement may fire the triggers of two operations; neither hides the other."""
    one, other = channels
    catalog.run(
        "INSERT INTO channel_models VALUES (%s, 'm', 'changed'), (%s, 'new', NULL) "
        "ON CONFLICT (channel_id, model) DO UPDATE SET upstream_model = excluded.upstream_model",
        one,
        other,
    )
    assert {catalog.channel(one).revision, catalog.channel(other).revision} == {catalog.revision}


def test_an_update_that_changes_nothing_touches_nothing(catalog: Catalog, channels: tuple[int, int]) -> None:
    """A statement over all channels makes routers read only those that it changed."""
    one, other = channels
    before = catalog.channel(other)
    catalog.run("UPDATE channels SET weight = CASE id WHEN %s THEN 2 ELSE weight END", one)
    catalog.run("UPDATE channel_models SET model = model")
    assert catalog.channel(other) == before
    assert catalog.latest()["touched_count"] == 0


def test_what_a_hand_writes_on_the_stamps_is_written_over(catalog: Catalog, channels: tuple[int, int]) -> None:
    """The stamps are the database's own word: whatever is typed there, digest, revision and hash stay true."""
    one, other = channels
    api_key_id = catalog.add_api_key("me")
    before = catalog.channel(one)
    catalog.run("UPDATE channels SET content_hash = 42, revision = 1000000 WHERE id = %s", one)
    assert catalog.channel(one).content_hash == before.content_hash
    assert catalog.channel(one).revision == catalog.revision
    with catalog.transaction():  # also right after a true change of the same transaction
        catalog.run("UPDATE channels SET weight = 3 WHERE id = %s", other)
        catalog.run("UPDATE channels SET content_hash = content_hash + 1")
        catalog.run("UPDATE channels SET revision = revision - 1")
    assert {catalog.channel(one).revision, catalog.channel(other).revision} == {catalog.revision}
    catalog.run("UPDATE api_keys SET content_hash = 0, revision = 0 WHERE id = %s", api_key_id)
    catalog.run("UPDATE groups SET content_hash = 0, revision = -1")
    catalog.run(
        "INSERT INTO channels (name, provider, base_url, revision, content_hash) VALUES ('c', 'p', 'u', 99, 99)"
    )
    assert catalog.faults() == []


def test_a_change_made_by_a_trigger_of_the_operators_own_is_seen(catalog: Catalog, channels: tuple[int, int]) -> None:
    """However deep it comes from, even out of our own stamping, a change is a change."""
    one, other = channels
    catalog.run(f"""
        CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            UPDATE channels SET weight = (SELECT weight FROM channels WHERE id = {one}) WHERE id = {other}
            AND weight <> (SELECT weight FROM channels WHERE id = {one});
            RETURN NULL;
        END $$;
        CREATE TRIGGER follow AFTER UPDATE ON channels FOR EACH ROW WHEN (old.content_hash <> new.content_hash)
        EXECUTE FUNCTION follow();
    """)
    catalog.run("UPDATE channels SET weight = 77 WHERE id = %s", one)
    assert catalog.column("SELECT weight FROM channels") == [77, 77]
    assert {catalog.channel(one).revision, catalog.channel(other).revision} == {catalog.revision}


def test_no_setting_of_a_session_changes_a_hash(catalog: Catalog, channels: tuple[int, int]) -> None:
    """Two operators with different taste in dates, bytes and quoting see the same content."""
    catalog.add_api_key("me")
    catalog.run("UPDATE api_keys SET expire_time = '2030-01-02 03:04:05.678+00', address_allow_list = '{10.0.0.0/8}'")
    catalog.run('UPDATE channels SET tags = \'{x,"y z"}\', header_overrides = \'{"b": 1.50, "a": null}\'')
    for setting in (
        "bytea_output = 'escape'",
        "TimeZone = 'Asia/Kathmandu'",
        "DateStyle = 'German, DMY'",
        "quote_all_identifiers = on",
        "extra_float_digits = 0",
        "client_encoding = 'LATIN1'",
    ):
        catalog.run(f"SET {setting}")
    assert catalog.faults() == []
    before = catalog.channel(channels[0])
    catalog.run("UPDATE channels SET tags = tags, header_overrides = header_overrides")
    assert catalog.channel(channels[0]) == before


def test_a_key_that_never_expires_has_a_hash(catalog: Catalog) -> None:
    """`infinity` is a time that an operator may type."""
    catalog.add_api_key("me")
    catalog.run("UPDATE api_keys SET expire_time = 'infinity'")
    catalog.run("UPDATE api_keys SET expire_time = '-infinity'")
    assert catalog.value("SELECT revision FROM api_keys") == catalog.revision


def test_times_follow_content(catalog: Catalog, channels: tuple[int, int]) -> None:
    """updated_time is when the row, or a child of it, last changed; keys have their own."""
    times = "SELECT updated_time > created_time AS later FROM {} ORDER BY id LIMIT 1"
    catalog.run("UPDATE channel_keys SET remark = remark")
    assert not catalog.value(times.format("channels"))
    assert not catalog.value(times.format("channel_keys"))
    catalog.run("UPDATE channel_keys SET remark = 'x' WHERE channel_id = %s", channels[0])
    assert catalog.value(times.format("channels"))
    assert catalog.value(times.format("channel_keys"))


def test_the_list_of_touched_channels_stops_at_a_thousand_and_the_count_does_not(catalog: Catalog) -> None:
    """A history row stays a row; what was touched is counted once each, deleted and put back included."""
    with catalog.transaction():
        catalog.run(
            "INSERT INTO channels (name, provider, base_url) SELECT n, 'p', 'u' FROM generate_series(1, 1500) n"
        )
        catalog.run("UPDATE channels SET weight = 2")
        catalog.run("DELETE FROM channels WHERE id <= 10")
        catalog.run(
            "INSERT INTO channels (id, name, provider, base_url) SELECT n, n, 'p', 'u' FROM generate_series(1, 5) n"
        )
    latest = catalog.latest()
    assert latest["touched_count"] == 1500
    assert len(set(latest["touched_channels"])) == len(latest["touched_channels"]) == 1000
    catalog.run("DELETE FROM channels")
    assert catalog.latest()["touched_count"] == 1495


REFUSED = (
    "INSERT INTO channels (name, provider, base_url) VALUES ('', 'p', 'u')",
    "INSERT INTO channels (name, provider, base_url, status) VALUES ('x', 'p', 'u', 'enabled')",
    "INSERT INTO channels (name, provider, base_url, weight) VALUES ('x', 'p', 'u', -1)",
    "INSERT INTO channels (name, provider, base_url, weight) VALUES ('x', 'p', 'u', 1000001)",
    "INSERT INTO channels (name, provider, base_url, tags) VALUES ('x', 'p', 'u', '{a,NULL}')",
    "INSERT INTO channels (name, provider, base_url, total_timeout_ms) VALUES ('x', 'p', 'u', 0)",
    "INSERT INTO channels (name, provider, base_url, id) VALUES ('x', 'p', 'u', 0)",
    "INSERT INTO groups (name) VALUES ('')",
    "INSERT INTO api_keys (name, hash) VALUES ('x', 'short')",
    "INSERT INTO api_keys (name, hash, fallback_groups) VALUES ('x', sha256('x'), '{NULL}')",
    "INSERT INTO api_keys (name, hash, status) VALUES ('x', sha256('x'), 'AUTO_DISABLED')",
)


def test_what_no_router_could_use_is_refused_at_the_door(catalog: Catalog, subtests: pytest.Subtests) -> None:
    """A typing error in psql is an error in psql."""
    for statement in REFUSED:
        with subtests.test(statement), pytest.raises(psycopg.errors.CheckViolation):
            catalog.run(statement)
