"""The whole protocol against random histories: followers of any age, and a recomputation that knows no triggers."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.integration.schema.catalog import Catalog
from tests.integration.schema.random_hand import RandomHand
from tests.integration.schema.replica import Replica

TRANSACTIONS = 80
CHILDREN = {
    "channel_keys": "id, sealed, last_four, status, status_reason, remark",
    "channel_models": "model, upstream_model",
    "channel_groups": "group_name",
    "ability_overrides": "group_name, model, enabled, priority, weight",
}
NOT_CONTENT = {"revision", "content_hash", "created_time", "updated_time"}


def test_followers_of_any_age_catch_up_by_one_delta(catalog: Catalog, rng: random.Random) -> None:
    """After each of many random transactions, routers left behind at any revision arrive at the whole catalog."""
    hand = RandomHand(catalog, rng)
    followers = [Replica() for _ in range(6)]
    hashes: dict[Any, int] = {}
    for _ in range(TRANSACTIONS):
        before = catalog.revision
        hand.transact()
        assert catalog.revision in (before, before + 1)
        assert catalog.faults() == []
        remember(hashes, catalog)
        whole = Replica()
        whole.catch_up(catalog)
        for follower in rng.sample(followers, 2):
            follower.catch_up(catalog)
            assert follower == whole
    assert catalog.column("SELECT revision FROM revisions ORDER BY 1") == list(range(catalog.revision + 1))
    assert len(hashes) > TRANSACTIONS
    assert len(set(hashes.values())) == len(hashes)


def remember(hashes: dict[Any, int], catalog: Catalog) -> None:
    """Same content, same hash, at any time; and the digest is their sum."""
    digest = 0
    for kind, table in (("channel", "channels"), ("api_key", "api_keys"), ("group", "groups")):
        for row in catalog.rows(f"SELECT * FROM {table}"):
            children = (
                [
                    sorted(map(repr, catalog.rows(f"SELECT {columns} FROM {child} WHERE channel_id = %s", row["id"])))
                    for child, columns in CHILDREN.items()
                ]
                if kind == "channel"
                else []
            )
            content = kind, repr({name: row[name] for name in row if name not in NOT_CONTENT}), repr(children)
            assert hashes.setdefault(content, row["content_hash"]) == row["content_hash"]
            digest += row["content_hash"]
    assert digest == catalog.head()["digest"]


def test_a_follower_under_many_random_writers_never_sees_a_state_that_does_not_add_up(
    migrated_dsn: str, catalog: Catalog, seed: int
) -> None:
    """Each read is one moment: counts and digest agree with the rows, and at the end nothing was missed."""
    stop = threading.Event()

    def write(writer: int) -> None:
        with Catalog(migrated_dsn) as own:
            hand = RandomHand(own, random.Random(seed + writer))
            for _ in range(12):
                hand.transact()

    def follow() -> int:
        follower = Replica()
        reads = 0
        with Catalog(migrated_dsn) as own:
            while not stop.is_set():
                follower.catch_up(own)
                reads += 1
            follower.catch_up(own)
            whole = Replica()
            whole.catch_up(own)
        assert follower == whole
        return reads

    with ThreadPoolExecutor(7) as pool:
        following = pool.submit(follow)
        try:
            list(pool.map(write, range(6)))
        finally:
            stop.set()
        assert following.result(30) > 1
    assert catalog.column("SELECT revision FROM revisions ORDER BY 1") == list(range(catalog.revision + 1))
