"""What would break the protocol for good is refused with a word on what to do instead; what got by is found and repaired."""

from __future__ import annotations

import psycopg
import pytest

from tests.integration.schema.catalog import Catalog

CATALOG_TABLES = (
    "groups",
    "channels",
    "channel_keys",
    "channel_models",
    "channel_groups",
    "ability_overrides",
    "api_keys",
)


def test_truncate_is_refused(catalog: Catalog, subtests: pytest.Subtests) -> None:
    """No row trigger sees a TRUNCATE, so routers could not follow it."""
    catalog.add_channel("a")
    before = catalog.head()
    for table in (*CATALOG_TABLES, "catalog", "revisions", "tombstones"):
        with subtests.test(table):
            with pytest.raises(psycopg.errors.FeatureNotSupported) as refused:
                catalog.run(f"TRUNCATE {table} CASCADE")
            assert "TRUNCATE of" in str(refused.value)
            assert "Use DELETE FROM" in (refused.value.diag.message_hint or "")
            assert catalog.head() == before


REWRITES = (
    "DELETE FROM catalog",
    "UPDATE catalog SET revision = revision + 2, chain = sha256(chain)",
    "UPDATE catalog SET revision = revision - 1, chain = sha256(chain)",
    "UPDATE catalog SET revision = revision + 1",
    "UPDATE catalog SET chain = sha256(chain)",
    "UPDATE revisions SET revision = revision + 100",
    "UPDATE revisions SET chain = sha256(chain) WHERE revision = 1",
    "DELETE FROM revisions",
    "DELETE FROM revisions WHERE revision = (SELECT revision FROM catalog)",
)


def test_the_head_and_the_lineage_cannot_be_rewritten(catalog: Catalog, subtests: pytest.Subtests) -> None:
    """Routers prove themselves against them."""
    catalog.add_channel("a")
    before = catalog.rows("SELECT * FROM router_revisions ORDER BY revision")
    for statement in REWRITES:
        with subtests.test(statement):
            with pytest.raises(psycopg.errors.FeatureNotSupported):
                catalog.run(statement)
            assert catalog.rows("SELECT * FROM router_revisions ORDER BY revision") == before


def test_there_is_one_head(catalog: Catalog) -> None:
    """A second one would be a second truth."""
    second = "INSERT INTO catalog SELECT {}, revision, chain, 0, 0, 0, 0, now(), mark_xid, mark_time FROM catalog"
    with pytest.raises(psycopg.errors.UniqueViolation):
        catalog.run(second.format("true"))
    with pytest.raises(psycopg.errors.CheckViolation):
        catalog.run(second.format("false"))


def test_an_answer_may_be_noted_on_a_revision(catalog: Catalog) -> None:
    """A revision's number and chain are fixed; what was answered is written with it."""
    channel_id = catalog.add_channel("a")
    catalog.run("UPDATE revisions SET request_hash = 'h', response = 'r' WHERE revision = %s", catalog.revision)
    assert catalog.latest()["response"] == b"r"
    assert catalog.latest()["touched_channels"] == [channel_id]


def test_writes_that_no_trigger_saw_are_found_and_repaired(catalog: Catalog, superuser: Catalog) -> None:
    """Replication and data-only restores switch triggers off; the check names each fault and the repair is one revision."""
    first, second = catalog.add_channel("a"), catalog.add_channel("b")
    catalog.add_api_key("me")
    catalog.run("DELETE FROM channels WHERE id = %s", second)
    assert catalog.faults() == []
    superuser.run("SET session_replication_role = replica")
    superuser.run("UPDATE channel_models SET model = 'behind the back'")
    superuser.run("UPDATE api_keys SET revision = 1000000")
    superuser.run("INSERT INTO channels (id, name, provider, base_url) VALUES (%s, 'b', 'p', 'u')", second)
    superuser.run("DELETE FROM groups WHERE name = 'default'")
    found = {(fault["kind"], fault["id"], fault["fault"]) for fault in catalog.faults()}
    assert {
        ("channel", str(first), "content_hash"),
        ("channel", str(second), "tombstone"),
        ("catalog", "", "digest"),
        ("catalog", "", "channel_count"),
        ("catalog", "", "group_count"),
    } <= found
    assert ("api_key", "1", "revision") in found
    before = catalog.revision
    assert catalog.value("SELECT catalog_repair()") == before + 1
    assert catalog.faults() == []
    assert catalog.channel(first).revision == before + 1
    assert catalog.column("SELECT revision FROM router_api_keys") == [before + 1]
    assert catalog.latest()["touched_count"] == 2


def test_repairing_what_is_sound_changes_no_row(catalog: Catalog) -> None:
    """It may be run at any time."""
    before = catalog.channel(catalog.add_channel("a"))
    catalog.run("SELECT catalog_repair()")
    assert catalog.channel(1) == before
