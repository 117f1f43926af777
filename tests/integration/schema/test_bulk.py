"""A hundred thousand rows in one statement are one revision within seconds, and many small ones stay affordable.

Triggers that work row by row take minutes for the same; the session's statement_timeout of 30 s is the bound.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.schema.catalog import Catalog

ROWS = 100_000


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long it took."""
    start = time.perf_counter()
    yield
    print(f"{what}: {time.perf_counter() - start:.2f} s")  # noqa: T201 - the figure is the point


def test_statements_over_a_hundred_thousand_channels_finish_within_seconds(catalog: Catalog) -> None:
    """COPY, UPDATE and DELETE: one revision each, every row stamped, the digest true."""
    before = catalog.revision
    with timed(f"COPY {ROWS} channels"):
        catalog.copy("channels (name, provider, base_url)", ((f"c{n}", "openai", "http://u") for n in range(ROWS)))
    assert catalog.head()["channel_count"] == ROWS
    with timed(f"UPDATE {ROWS} channels"):
        catalog.run("UPDATE channels SET weight = 2")
    assert catalog.column("SELECT DISTINCT revision FROM channels") == [before + 2]
    assert catalog.latest()["touched_count"] == ROWS
    assert catalog.faults() == []
    with timed(f"DELETE {ROWS} channels"):
        catalog.run("DELETE FROM channels")
    assert catalog.revision == before + 3
    assert catalog.value("SELECT count(*) FROM router_tombstones") == ROWS


def test_a_hundred_thousand_children_touch_their_channels_once_each(catalog: Catalog) -> None:
    """Children by COPY, ten a channel; then all of them in one UPDATE."""
    catalog.run("INSERT INTO channels (name, provider, base_url) SELECT n, 'p', 'u' FROM generate_series(1, 10000) n")
    before = catalog.revision
    with timed(f"COPY {ROWS} models"):
        catalog.copy(
            "channel_models (channel_id, model)", ((f"{n % 10_000 + 1}", f"m{n // 10_000}") for n in range(ROWS))
        )
    with timed(f"UPDATE {ROWS} models"):
        catalog.run("UPDATE channel_models SET upstream_model = model || '-latest'")
    assert catalog.column("SELECT DISTINCT revision FROM channels") == [before + 2]
    assert catalog.latest()["touched_count"] == 10_000


def test_plans_made_over_empty_tables_serve_full_ones(catalog: Catalog) -> None:
    """A session keeps its plans: what looked right when there was nothing must not scan everything later."""
    for _ in range(8):  # past the point where a plan is kept for good
        catalog.add_channel("probe")
        catalog.run("DELETE FROM channels")
    catalog.run("INSERT INTO channels (name, provider, base_url) SELECT n, 'p', 'u' FROM generate_series(1, 10000) n")
    catalog.run("INSERT INTO channel_models SELECT id, 'm' FROM channels")
    with timed("UPDATE 10000 channels by an old plan"), catalog.transaction():
        before = rows_read(catalog)
        catalog.run("UPDATE channels SET weight = 2")
        assert rows_read(catalog) - before < 300_000  # not 10,000 times 10,000
    catalog.run("DELETE FROM channels WHERE id > 5000")
    with catalog.transaction():
        before = rows_read(catalog)
        catalog.run("UPDATE channels SET weight = 3 WHERE id = 77")
        catalog.run("UPDATE channel_models SET upstream_model = 'u' WHERE channel_id = 78")
        catalog.run("DELETE FROM channels WHERE id = 79")
        catalog.run("INSERT INTO channels (id, name, provider, base_url) VALUES (79, 'again', 'p', 'u')")
        assert rows_read(catalog) - before < 200


def rows_read(catalog: Catalog) -> int:
    """Rows and index entries of user tables that this session has read, but for what it has reported already."""
    read: int = catalog.value("SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables")
    return read


def test_a_thousand_statements_in_one_transaction_stay_affordable(catalog: Catalog) -> None:
    """Each leaves a dead version of the head behind, which the rest of the transaction steps over."""
    with timed("1000 single-row statements in a transaction"):
        catalog.run("""
            DO $$ BEGIN
                FOR n IN 1..1000 LOOP
                    INSERT INTO channels (name, provider, base_url) VALUES (n, 'p', 'u');
                END LOOP;
            END $$
        """)
    assert catalog.latest()["touched_count"] == 1000


def test_an_ability_switched_off_on_a_thousand_channels_is_one_revision(catalog: Catalog) -> None:
    """The view's triggers work by the row, and still it is a matter of a second."""
    catalog.run("INSERT INTO channels (name, provider, base_url) SELECT n, 'p', 'u' FROM generate_series(1, 1000) n")
    catalog.run("INSERT INTO channel_models SELECT id, unnest('{m,n}'::text[]) FROM channels")
    catalog.run("INSERT INTO channel_groups SELECT id, 'default' FROM channels")
    before = catalog.revision
    with timed("UPDATE 1000 abilities"):
        assert catalog.run("UPDATE abilities SET enabled = false WHERE model = 'm'") == 1000
    assert catalog.revision == before + 1
    assert catalog.value("SELECT count(*) FROM abilities WHERE effective") == 1000
