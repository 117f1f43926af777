"""How requests are shaped: every column of it is content, and none of it costs a channel that has none."""

from __future__ import annotations

import psycopg
import pytest

from admin_svc.migrate import migrate, packaged_migrations
from tests.integration.schema.catalog import Catalog
from tests.integration.schema.replica import Replica

SHAPING = {
    "provider_options": """'{"bot_id": "1"}'""",
    "removed_headers": "'{x-a}'",
    "system_prompt": "'be kind'",
    "system_prompt_mode": "'PREPEND'",
    "status_mapping": """'{"429": 503}'""",
    "proxy_sealed": "'sealed'",
    "proxy_shown": "'http://proxy'",
    "strict": "true",
    "repeat_after_timeout": "true",
}
BEFORE_SHAPING = 5


def hashes(catalog: Catalog) -> list[int]:
    """The content hashes of all channels, by id."""
    return catalog.column("SELECT content_hash FROM channels ORDER BY id")


def test_every_column_that_the_shaping_brought_is_tested() -> None:
    """So that nobody adds one that no digest sees."""
    script = next(migration.script for migration in packaged_migrations() if migration.version > BEFORE_SHAPING)
    added = {line.split()[2] for line in script.decode().splitlines() if line.startswith("ADD COLUMN")}
    assert added == SHAPING.keys()


@pytest.mark.parametrize("column", SHAPING)
def test_a_change_of_any_column_is_seen_and_can_be_undone(catalog: Catalog, column: str) -> None:
    """Revision, hash and digest move, a delta brings it, and taken back it hashes as before."""
    one, other = catalog.add_channel("a"), catalog.add_channel("b")
    follower = Replica()
    follower.catch_up(catalog)
    before, digest = catalog.channel(one), catalog.head()["digest"]
    catalog.run(f"UPDATE channels SET {column} = {SHAPING[column]} WHERE id = %s", one)
    after = catalog.channel(one)
    assert after.revision == catalog.revision > before.revision
    assert after.content_hash != before.content_hash
    assert catalog.head()["digest"] - digest == after.content_hash - before.content_hash
    assert catalog.latest()["touched_channels"] == [one]
    assert catalog.channel(other).revision < after.revision
    follower.catch_up(catalog)
    whole = Replica()
    whole.catch_up(catalog)
    assert follower == whole
    shaping = catalog.value("SELECT shaping FROM router_channels WHERE id = %s", one)
    assert shaping.keys() == SHAPING.keys()
    catalog.run(f"UPDATE channels SET {column} = DEFAULT")
    assert catalog.channel(one).content_hash == before.content_hash
    assert catalog.column("SELECT shaping FROM router_channels") == [None, None]


def test_no_two_columns_hash_alike(catalog: Catalog) -> None:
    """Each set by itself, and some together, are content of their own."""
    channel_id = catalog.add_channel("a")
    seen = {catalog.channel(channel_id).content_hash}
    for number, (column, value) in enumerate(SHAPING.items(), 2):
        with catalog.transaction(undo=True):
            catalog.run(f"UPDATE channels SET {column} = {value}")
            seen.add(catalog.channel(channel_id).content_hash)
        assert len(seen) == number
    for column, value in SHAPING.items():
        catalog.run(f"UPDATE channels SET {column} = {value}")
        seen.add(catalog.channel(channel_id).content_hash)
    assert len(seen) == 2 * len(SHAPING)  # the first one set is among those set by themselves


def test_a_long_sealed_proxy_comes_on_one_line(catalog: Catalog) -> None:
    """Base64 breaks its lines at 76 characters, where a reader in strict mode stumbles."""
    catalog.add_channel("a")
    catalog.run("UPDATE channels SET proxy_sealed = convert_to(repeat('x', 300), 'UTF8')")
    shaping = catalog.value("SELECT shaping FROM router_channels")
    assert len(shaping["proxy_sealed"]) == 400
    assert "\n" not in shaping["proxy_sealed"]


async def test_a_database_of_before_keeps_its_hashes_and_its_revision(database_dsn: str) -> None:
    """No channel that is there changes by the migration: routers, old and new, follow on without reading anything."""
    async with await psycopg.AsyncConnection.connect(database_dsn) as connection:
        await migrate(connection, [old for old in packaged_migrations() if old.version <= BEFORE_SHAPING])
    with Catalog(database_dsn) as catalog:
        catalog.run("INSERT INTO groups (name) VALUES ('vip')")
        catalog.add_channel("a", models=["m", "n*"], groups=["default", "vip"], keys=["k", "l"])
        catalog.add_channel("b")
        catalog.run("""UPDATE channels SET tags = '{t}', header_overrides = '{"x": "y"}', idle_timeout_ms = 5""")
        catalog.run("UPDATE abilities SET weight = 0 WHERE model = 'm'")
        head, before = catalog.head(), hashes(catalog)
        follower = Replica()
        follower.catch_up(catalog)
    async with await psycopg.AsyncConnection.connect(database_dsn) as connection:
        assert (await migrate(connection))[0].version == BEFORE_SHAPING + 1
    with Catalog(database_dsn) as catalog:
        assert (catalog.head(), hashes(catalog)) == (head | {"secrets": []}, before)
        assert catalog.faults() == []
        follower.catch_up(catalog)
        assert follower.revision == head["revision"]
        catalog.run("UPDATE channels SET strict = true WHERE name = 'b'")
        follower.catch_up(catalog)
        assert catalog.faults() == []


def test_what_shapes_nothing_is_told_without_reading_a_child(catalog: Catalog) -> None:
    """The function is inlined into the views: a scan of channels calls nothing."""
    plan = "\n".join(catalog.column("EXPLAIN (VERBOSE, COSTS OFF) SELECT id, shaping FROM router_channels"))
    assert "shaping_of" not in plan
    assert "SubPlan" not in plan
