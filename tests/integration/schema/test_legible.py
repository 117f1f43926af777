"""What no reader could take in is refused where it is written, and what stands already hinders nobody."""

from __future__ import annotations

import psycopg
import pytest

from tests.integration.schema.catalog import Catalog

COLUMNS = ("header_overrides", "parameter_overrides", "provider_options", "status_mapping")
DEEPEST = "(repeat('[', 25) || repeat(']', 25))::jsonb"
TOO_DEEP = "(repeat('[', 26) || repeat(']', 26))::jsonb"
# Random, since the size that counts is that of the bytes and not of what compresses them.
TOO_LONG = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 40000) AS n)"


def refused(catalog: Catalog, statement: str, *values: object) -> str:
    """The name of the rule that refuses a statement."""
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        catalog.run(statement, *values)
    return caught.value.diag.constraint_name or ""


@pytest.mark.parametrize("column", COLUMNS)
def test_json_is_refused_below_the_deepest_level_that_any_reader_goes(catalog: Catalog, column: str) -> None:
    """The bound is that of `json_values`: one level less passes."""
    channel_id = catalog.add_channel("a")
    statement = f"UPDATE channels SET {column} = {{}} WHERE id = %s"
    for hostile in (TOO_DEEP, "(repeat('{\"a\":', 3000) || '1' || repeat('}', 3000))::jsonb"):
        assert refused(catalog, statement.format(hostile), channel_id) == "channels_json_depth_check"
    assert catalog.run(statement.format(DEEPEST), channel_id) == 1


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        (f"UPDATE channels SET remark = {TOO_LONG}", "channels_size_check"),
        (f"UPDATE channels SET system_prompt = {TOO_LONG}", "channels_size_check"),
        (f"UPDATE channels SET header_overrides = jsonb_build_object('a', {TOO_LONG})", "channels_size_check"),
        (f"UPDATE api_keys SET remark = {TOO_LONG}", "api_keys_size_check"),
        (f"UPDATE api_keys SET model_allow_list = ARRAY[{TOO_LONG}]", "api_keys_size_check"),
        (f"UPDATE channel_keys SET remark = {TOO_LONG}", "channel_keys_remark_size_check"),
        ("UPDATE channel_keys SET sealed = decode(repeat('00', 65537), 'hex')", "channel_keys_sealed_size_check"),
    ],
)
def test_what_would_not_fit_a_plan_is_refused(catalog: Catalog, statement: str, rule: str) -> None:
    """By the name of the rule, which the admin turns into a fault of a field."""
    channel_id = catalog.add_channel("a")
    catalog.add_api_key("me")
    catalog.run("INSERT INTO channel_keys (channel_id, sealed) VALUES (%s, 'x')", channel_id)
    assert refused(catalog, statement) == rule


def test_a_row_from_before_can_be_switched_off_touched_and_mended(catalog: Catalog) -> None:
    """The rules look at what a statement sets: stamps, children and the status go on."""
    channel_id = catalog.add_channel("a")
    catalog.run("ALTER TABLE channels DISABLE TRIGGER channels_legible")
    catalog.run(f"UPDATE channels SET header_overrides = {TOO_DEEP}")
    catalog.run("ALTER TABLE channels ENABLE TRIGGER channels_legible")
    before = catalog.revision
    catalog.run("UPDATE channels SET status = 'DISABLED' WHERE id = %s", channel_id)
    catalog.run("INSERT INTO channel_models (channel_id, model) VALUES (%s, 'another')", channel_id)
    catalog.run("UPDATE channels SET header_overrides = '{}' WHERE id = %s", channel_id)
    assert catalog.revision == before + 3
    assert catalog.faults() == []
