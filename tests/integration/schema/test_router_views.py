"""What routers read: the shape they rely on, and the cost of a whole load and of a delta."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.integration.schema.catalog import Catalog

DELTAS = ("router_channels", "router_api_keys", "router_tombstones", "router_groups")


def test_a_channel_comes_with_all_its_children_in_order(catalog: Catalog) -> None:
    """One row holds whatever deciding needs; lists are in byte order, keys by id, a long sealed key on one line."""
    catalog.run("INSERT INTO groups (name) VALUES ('Vip')")
    sealed = "x" * 300
    channel_id = catalog.add_channel(
        "a", models=["é", "b", "B", "a*"], groups=["default", "Vip"], keys=["second, but first in", sealed]
    )
    catalog.run("UPDATE channel_models SET upstream_model = 'up' WHERE model = 'b'")
    catalog.run("UPDATE channel_keys SET last_four = '1234', status = 'DISABLED' WHERE sealed = %s", sealed.encode())
    catalog.run("UPDATE abilities SET weight = 0 WHERE model = 'b'")
    catalog.run("""UPDATE channels SET tags = '{t}', header_overrides = '{"x": "y"}', idle_timeout_ms = 5""")
    row = catalog.row("SELECT * FROM router_channels")
    stamp = catalog.channel(channel_id)
    first, second = catalog.column("SELECT id FROM channel_keys ORDER BY id")
    assert row == {
        "id": channel_id,
        "revision": stamp.revision,
        "content_hash": stamp.content_hash,
        "name": "a",
        "provider": "openai",
        "base_url": "http://u/v1",
        "status": "ENABLED",
        "priority": 0,
        "weight": 1,
        "tags": ["t"],
        "header_overrides": {"x": "y"},
        "parameter_overrides": {},
        "connect_timeout_ms": None,
        "first_byte_timeout_ms": None,
        "idle_timeout_ms": 5,
        "total_timeout_ms": None,
        "keys": [
            {
                "id": first,
                "sealed": base64.b64encode(b"second, but first in").decode(),
                "last_four": "",
                "status": "ENABLED",
            },
            {
                "id": second,
                "sealed": base64.b64encode(sealed.encode()).decode(),
                "last_four": "1234",
                "status": "DISABLED",
            },
        ],
        "models": [["B", None], ["a*", None], ["b", "up"], ["é", None]],
        "groups": ["Vip", "default"],
        "overrides": [["Vip", "b", None, None, 0], ["default", "b", None, None, 0]],
        "shaping": None,
    }


def test_a_channel_without_children_has_empty_lists(catalog: Catalog) -> None:
    """Never a null where a list is promised."""
    catalog.add_channel("a", models=[], groups=[], keys=[])
    row = catalog.row("SELECT keys, models, groups, overrides FROM router_channels")
    assert row == {"keys": [], "models": [], "groups": [], "overrides": []}


def test_an_api_key_comes_with_its_addresses_as_text(catalog: Catalog) -> None:
    """Networks as Postgres writes them, the hash as bytes, the secret nowhere."""
    api_key_id = catalog.add_api_key("me")
    catalog.run(
        "UPDATE api_keys SET address_allow_list = '{10.0.0.0/8,::1}', fallback_groups = '{vip,lab}',"
        " model_allow_list = '{gpt-*}'"
    )
    row = catalog.row("SELECT * FROM router_api_keys")
    assert (row["id"], row["name"], len(row["hash"])) == (api_key_id, "me", 32)
    assert row["address_allow_list"] == ["10.0.0.0/8", "::1/128"]
    assert (row["fallback_groups"], row["model_allow_list"]) == (["vip", "lab"], ["gpt-*"])
    assert (row["group_name"], row["expire_time"], row["status"]) == ("default", None, "ENABLED")


@pytest.fixture
def large(catalog: Catalog) -> Catalog:
    """10,000 channels, 50,000 abilities, 10,000 keys, 1,000 API keys."""
    catalog.run(
        "INSERT INTO channels (name, provider, base_url) SELECT 'c' || n, 'openai', 'http://u'"
        " FROM generate_series(1, 10000) n"
    )
    catalog.run("INSERT INTO channel_models SELECT id, 'm' || n FROM channels, generate_series(1, 5) n")
    catalog.run("INSERT INTO channel_groups SELECT id, 'default' FROM channels")
    catalog.run("INSERT INTO channel_keys (channel_id, sealed) SELECT id, sha256(name::bytea) FROM channels")
    catalog.run(
        "INSERT INTO api_keys (name, hash) SELECT 'k' || n, sha256(n::text::bytea) FROM generate_series(1, 1000) n"
    )
    return catalog


def test_a_whole_load_reads_all_and_a_delta_only_what_changed(large: Catalog) -> None:
    """A delta after one change visits a few rows, whatever the size of the catalog."""
    large.run("SET jit = off")
    assert large.value("SELECT count(c::text) FROM router_channels AS c WHERE revision > -1") == 10_000
    delta = change_a_little(large)
    for view in DELTAS:  # without statistics a table may be scanned once, but never the children of what did not change
        children = explain(large, f"SELECT * FROM {view} WHERE revision > {delta}").get("Plans", [])
        assert sum(map(rows_visited, children)) < 100, (view, json.dumps(children, indent=1))
    large.run("ANALYZE")
    delta = change_a_little(large)
    for view in DELTAS:
        plan = explain(large, f"SELECT * FROM {view} WHERE revision > {delta}")
        assert rows_visited(plan) < 100, (view, json.dumps(plan, indent=1))


def change_a_little(catalog: Catalog) -> int:
    """One channel changed, one gone, one API key changed; the answer is the revision before."""
    since = catalog.revision
    catalog.run("UPDATE channels SET weight = weight + 1 WHERE id = 77")
    catalog.run("UPDATE api_keys SET remark = remark || 'x' WHERE id = 77")
    catalog.run("DELETE FROM channels WHERE id IN (SELECT max(id) FROM channels)")
    return since


def explain(catalog: Catalog, query: str) -> Any:
    """The plan as run."""
    (plan,) = catalog.value(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}")
    return plan["Plan"]


def rows_visited(plan: Any) -> float:
    """Rows that the nodes of a plan handed up or threw away, loops included."""
    here = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return float(here + sum(rows_visited(child) for child in plan.get("Plans", [])))
