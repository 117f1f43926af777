"""A catalog dumped and restored is the same catalog; what changes afterwards, here and there, are two branches."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.postgres import TestPostgres
from tests.integration.schema.catalog import Catalog
from tests.integration.schema.random_hand import RandomHand
from tests.integration.schema.replica import Replica


@pytest.fixture
def restored(postgres: TestPostgres, migrated_dsn: str, catalog: Catalog, rng: random.Random) -> Iterator[Catalog]:
    """A random catalog, dumped by pg_dump and restored by pg_restore into another database."""
    hand = RandomHand(catalog, rng)
    for _ in range(20):
        hand.transact()
    binaries = Path(postgres.server.program.argv[0]).parent
    dump = subprocess.run(
        [binaries / "pg_dump", "--format=custom", f"--dbname={migrated_dsn}"], check=True, capture_output=True
    ).stdout
    with postgres.database() as dsn:
        subprocess.run(
            [binaries / "pg_restore", "--exit-on-error", "--single-transaction", f"--dbname={dsn}"],
            check=True,
            input=dump,
        )
        with Catalog(dsn) as restored:
            yield restored
            assert restored.faults() == []


def test_a_restored_catalog_goes_on_where_the_dump_was_made(catalog: Catalog, restored: Catalog) -> None:
    """Same head, sound stamps, and a router that followed before needs nothing but the next delta."""
    follower = Replica()
    follower.catch_up(catalog)
    assert restored.head() == catalog.head()
    assert restored.faults() == []
    before = restored.head()
    restored.add_channel("after the restore", groups=[])
    assert restored.revision == before["revision"] + 1
    assert restored.value("SELECT chain FROM revisions WHERE revision = %s", before["revision"]) == before["chain"]
    follower.catch_up(restored)
    whole = Replica()
    whole.catch_up(restored)
    assert follower == whole


def test_two_branches_never_share_a_chain(catalog: Catalog, restored: Catalog) -> None:
    """The same revision on both sides of a restore is told apart by its chain."""
    for side in (catalog, restored):
        side.run("UPDATE groups SET remark = 'the very same change'")
    assert restored.revision == catalog.revision
    assert restored.head()["chain"] != catalog.head()["chain"]
    assert restored.head()["digest"] == catalog.head()["digest"]


def test_a_restored_schema_is_as_guarded_as_the_first(catalog: Catalog, restored: Catalog) -> None:
    """Triggers, rights, settings of functions and identities come through the dump."""
    functions = (
        "SELECT proname, prosecdef, proconfig, proacl::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    )
    triggers = "SELECT tgrelid::regclass::text, tgname, tgenabled, tgtype FROM pg_trigger WHERE NOT tgisinternal"
    for query in (functions, triggers):
        assert sorted(map(repr, restored.rows(query))) == sorted(map(repr, catalog.rows(query)))
    assert restored.add_channel("new", groups=[]) == catalog.add_channel("new", groups=[])


def test_every_function_that_reads_tables_pins_its_path(catalog: Catalog) -> None:
    """Temporary objects last; only functions that read nothing at all may do without."""
    loose = catalog.column(
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        " AND NOT coalesce('search_path=public, pg_temp' = ANY (proconfig), false) ORDER BY 1"
    )
    assert loose == ["content_hash_of", "is_stamp", "json_is_too_deep", "shaping_of"]
