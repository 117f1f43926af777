"""Roles that do not own the schema: their changes are versioned all the same, and the machinery is not theirs to use."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.integration.schema.catalog import Catalog

ROUTER_VIEWS = (
    "router_head, router_channels, router_api_keys, router_groups, router_tombstones, router_revisions, abilities"
)


@pytest.fixture
def catalog(catalog: Catalog, superuser: Catalog) -> Catalog:
    """A session that can be any role. The catalog is a plain owner's all the same."""
    assert catalog.value("SELECT count(*) FROM pg_roles WHERE rolname = current_user AND rolsuper") == 0
    return superuser


@pytest.fixture
def role(catalog: Catalog) -> Iterator[str]:
    """A role of this cluster without any right; the session acts as it after `become`."""
    name = f"role_{uuid.uuid4().hex[:12]}"
    catalog.run(f"CREATE ROLE {name}")
    yield name
    catalog.run("RESET SESSION AUTHORIZATION")
    catalog.run(f"DROP OWNED BY {name}")
    catalog.run(f"DROP ROLE {name}")


def become(catalog: Catalog, role: str) -> None:
    """Be that role, as if it had logged in."""
    catalog.run(f"SET SESSION AUTHORIZATION {role}")


def test_a_role_that_may_only_write_a_table_versions_its_changes(catalog: Catalog, role: str) -> None:
    """It has no right on head, history or children, and does not need any."""
    channel_id = catalog.add_channel("a")
    before = catalog.revision
    catalog.run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON channels TO {role}")
    become(catalog, role)
    catalog.run("UPDATE channels SET weight = 4")
    catalog.run("INSERT INTO channels (name, provider, base_url) VALUES ('b', 'p', 'u')")
    catalog.run("DELETE FROM channels WHERE id = %s", channel_id)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        catalog.head()
    catalog.run("RESET SESSION AUTHORIZATION")
    assert catalog.revision == before + 3
    assert catalog.latest()["actor"] == role
    assert catalog.tombstones() == {("channel", str(channel_id))}


def test_a_right_on_the_abilities_is_enough_to_repair_them(catalog: Catalog, role: str) -> None:
    """An operator's role need not see channels or keys."""
    catalog.add_channel("a")
    catalog.run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON abilities TO {role}")
    become(catalog, role)
    catalog.run("UPDATE abilities SET enabled = false WHERE model = 'm'")
    catalog.run("""INSERT INTO abilities ("group", model, channel_id) VALUES ('default', 'n', 1)""")
    assert catalog.column("SELECT model FROM abilities WHERE effective") == ["n"]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        catalog.rows("SELECT * FROM channel_keys")


def test_a_router_needs_its_views_and_its_lease_and_nothing_else(
    catalog: Catalog, migrated_dsn: str, role: str
) -> None:
    """It reads through the views, keeps its lease, and cannot change or see anything more."""
    catalog.add_channel("a")
    with Catalog(migrated_dsn) as owner:
        for _ in range(2):  # harmless to repeat
            owner.run("SELECT grant_router(%s)", role)
    become(catalog, role)
    for view in ROUTER_VIEWS.split(", "):
        catalog.rows(f"SELECT * FROM {view}")
    catalog.run(
        "INSERT INTO routers (id, address, incarnation, state, expire_time) VALUES ('r', 'a', 'i', 's', now())"
        " ON CONFLICT (id) DO UPDATE SET expire_time = excluded.expire_time"
    )
    for statement in ("SELECT * FROM channels", "UPDATE router_channels SET weight = 1", "SELECT * FROM revisions"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            catalog.run(statement)


def test_the_rights_that_the_documentation_grants_are_enough(catalog: Catalog, role: str) -> None:
    """Each kind of role does its work with what its paragraph grants, and no more."""
    page = Path(__file__).parents[3].joinpath("docs", "decisions", "0002-revision-by-triggers.md").read_text("utf-8")
    (granted,) = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    works = {
        "router": "SELECT * FROM router_channels",
        "operator": "UPDATE channels SET status = 'DISABLED' WHERE name = 'a'",
        "admin": "SELECT begin_change(), nextval(pg_get_serial_sequence('channel_keys', 'id')),"
        " catalog_is_guarded(), catalog_repair() FROM catalog_digest_check() RIGHT JOIN (SELECT 1) AS one ON true",
    }
    catalog.add_channel("a")
    for kind, work in works.items():
        catalog.run("RESET SESSION AUTHORIZATION")
        catalog.run(f"DROP OWNED BY {role}")
        for grant in re.findall(rf"^(?:GRANT .* TO {kind}|SELECT grant_{kind}\('{kind}'\));$", granted, re.MULTILINE):
            catalog.run(re.sub(rf"{kind}('\))?;$", rf"{role}\1", grant))
        become(catalog, role)
        catalog.run(work)
        if kind != "admin":
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                catalog.run("SELECT sealed FROM channel_keys")


MACHINERY = (
    "grant_router(session_user::regrole)",
    "begin_change()",
    "prune_history('0')",
    "catalog_repair()",
    "catalog_digest_check()",
    "catalog_is_guarded()",
    "stamp_channels(1, '{}', '{}')",
    "note_channels(1, 1, 1, '{}')",
    "settle('channel', '{}')",
    "bury(1, 'channel', '{}')",
)


def test_the_machinery_is_not_everybodys_to_call(catalog: Catalog, role: str, subtests: pytest.Subtests) -> None:
    """Functions that run as their owner must be granted by name."""
    become(catalog, role)
    for call in MACHINERY:
        with subtests.test(call), pytest.raises(psycopg.errors.InsufficientPrivilege):
            catalog.run(f"SELECT {call}")


def test_a_trigger_function_cannot_be_attached_to_a_table_of_ones_own(
    catalog: Catalog, role: str, subtests: pytest.Subtests
) -> None:
    """Else anybody could feed it rows that are not the catalog's."""
    become(catalog, role)
    catalog.run("CREATE TEMP TABLE mine (id bigint, channel_id bigint, revision bigint, content_hash bigint)")
    for function in ("before_change", "after_change", "after_child_change", "after_group_change"):
        with subtests.test(function), pytest.raises(psycopg.errors.InsufficientPrivilege):
            catalog.run(
                "CREATE TRIGGER t AFTER INSERT ON mine REFERENCING NEW TABLE AS added"
                f" FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
            )


def test_temporary_tables_do_not_slip_under_the_triggers(catalog: Catalog, role: str) -> None:
    """A name means the schema's own table, whatever stands in the session's path or its temporary schema."""
    channel_id = catalog.add_channel("a")
    catalog.run(f"GRANT SELECT, UPDATE ON channels TO {role}")
    become(catalog, role)
    for table in ("catalog", "revisions", "tombstones", "channel_models", "channel_hashes"):
        catalog.run(f"CREATE TEMP TABLE {table} (id bigint, content_hash bigint)")
    catalog.run("SET search_path = pg_temp")
    catalog.run("UPDATE public.channels SET weight = 9")
    catalog.run("RESET SESSION AUTHORIZATION")
    catalog.run("DISCARD TEMP")
    catalog.run("RESET search_path")
    assert catalog.channel(channel_id).revision == catalog.revision
