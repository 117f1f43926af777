"""Abilities by hand: what an operator types on the view is what routers then see, and nothing besides."""

from __future__ import annotations

import psycopg
import pytest

from tests.integration.schema.catalog import Catalog


@pytest.fixture
def channel_id(catalog: Catalog) -> int:
    """A channel of two models in two groups: four abilities."""
    catalog.run("INSERT INTO groups (name) VALUES ('vip'), ('lab')")
    return catalog.add_channel("a", models=["m", "n"], groups=["default", "vip"])


def abilities(catalog: Catalog, channel_id: int, column: str = "enabled") -> dict[tuple[str, str], object]:
    """One column of a channel's abilities, by group and model."""
    rows = catalog.rows("SELECT * FROM abilities WHERE channel_id = %s", channel_id)
    return {(row["group"], row["model"]): row[column] for row in rows}


def overrides(catalog: Catalog) -> list[object]:
    """The overrides as a router reads them."""
    return [override for row in catalog.column("SELECT overrides FROM router_channels") for override in row]


def test_abilities_are_a_channels_models_in_its_groups(catalog: Catalog, channel_id: int) -> None:
    """Each pair is there once, with the channel's values unless it has its own."""
    catalog.run("UPDATE channels SET priority = 4, weight = 6")
    catalog.run("UPDATE channel_models SET upstream_model = 'up' WHERE model = 'n'")
    rows = catalog.rows('SELECT * FROM abilities ORDER BY "group", model')
    assert [(row["group"], row["model"]) for row in rows] == [
        ("default", "m"),
        ("default", "n"),
        ("vip", "m"),
        ("vip", "n"),
    ]
    assert rows[1] == {
        "group": "default",
        "model": "n",
        "channel_id": channel_id,
        "enabled": True,
        "effective": True,
        "priority": 4,
        "weight": 6,
        "channel_name": "a",
        "upstream_model": "up",
    }


def test_an_ability_is_effective_when_it_and_its_channel_are_on(catalog: Catalog, channel_id: int) -> None:
    """Its own switch survives the channel's."""
    catalog.run("UPDATE abilities SET enabled = false WHERE model = 'm'")
    for status, effective in (("DISABLED", set()), ("AUTO_DISABLED", set()), ("ENABLED", {"n"})):
        catalog.run("UPDATE channels SET status = %s", status)
        assert set(catalog.column("SELECT model FROM abilities WHERE effective")) == effective
        assert abilities(catalog, channel_id)["default", "m"] is False


def test_switching_an_ability_off_by_hand_is_one_revision_that_touches_its_channel(
    catalog: Catalog, channel_id: int
) -> None:
    """The repair that every operator of such a gateway knows by heart."""
    before = catalog.revision
    assert catalog.run("UPDATE abilities SET enabled=false WHERE model='m' AND channel_id=%s", channel_id) == 2
    assert catalog.revision == before + 1
    assert catalog.channel(channel_id).revision == before + 1
    assert overrides(catalog) == [["default", "m", False, None, None], ["vip", "m", False, None, None]]


def test_an_update_sets_only_what_it_changes(catalog: Catalog, channel_id: int) -> None:
    """The rest goes on following the channel."""
    catalog.run("""UPDATE abilities SET weight = 9, priority = priority WHERE "group" = 'vip' AND model = 'm'""")
    assert overrides(catalog) == [["vip", "m", None, None, 9]]
    catalog.run("""UPDATE abilities SET enabled = false WHERE "group" = 'vip' AND model = 'm'""")
    assert overrides(catalog) == [["vip", "m", False, None, 9]]
    catalog.run("UPDATE channels SET priority = 3, weight = 2")
    assert abilities(catalog, channel_id, "priority")["vip", "m"] == 3
    assert abilities(catalog, channel_id, "weight") == {
        ("default", "m"): 2,
        ("default", "n"): 2,
        ("vip", "m"): 9,
        ("vip", "n"): 2,
    }


def test_a_null_goes_back_to_the_channels_own(catalog: Catalog, channel_id: int) -> None:
    """An override that overrides nothing is gone."""
    before = catalog.channel(channel_id).content_hash
    catalog.run("UPDATE abilities SET weight = 9, enabled = false WHERE model = 'm'")
    catalog.run("UPDATE abilities SET weight = NULL, enabled = NULL WHERE model = 'm'")
    assert overrides(catalog) == []
    assert catalog.channel(channel_id).content_hash == before


def test_an_update_that_changes_nothing_writes_nothing(catalog: Catalog, channel_id: int) -> None:
    """Switching on what is on leaves no trace in the catalog."""
    before = catalog.channel(channel_id)
    assert catalog.run("UPDATE abilities SET enabled = true") == 4
    assert catalog.channel(channel_id) == before


NOT_ITS_OWN = {
    "model = 'x'": "DELETE this ability and INSERT the other",
    "\"group\" = 'lab'": "DELETE this ability and INSERT the other",
    "channel_id = 99": "DELETE this ability and INSERT the other",
    "upstream_model = 'x'": "UPDATE channels or channel_models",
    "effective = false": "UPDATE channels or channel_models",
    "channel_name = 'x'": "UPDATE channels or channel_models",
}


@pytest.mark.usefixtures("channel_id")
def test_what_is_not_the_abilitys_own_cannot_be_updated(catalog: Catalog, subtests: pytest.Subtests) -> None:
    """The refusal says where to go instead."""
    before = catalog.head()
    for assignment, hint in NOT_ITS_OWN.items():
        with subtests.test(assignment):
            with pytest.raises(psycopg.errors.FeatureNotSupported) as refused:
                catalog.run(f"UPDATE abilities SET {assignment}")
            assert hint in (refused.value.diag.message_hint or "")
            assert catalog.head() == before


def test_an_insert_makes_exactly_that_ability_exist(catalog: Catalog, channel_id: int) -> None:
    """A new model in a new group: of all that the cross product would bring, only what was asked for is on."""
    before = catalog.revision
    catalog.run(
        """INSERT INTO abilities ("group", model, channel_id, weight, upstream_model) VALUES ('lab', 'x', %s, 5, 'ux')""",
        channel_id,
    )
    assert catalog.revision == before + 1
    on = {pair for pair, enabled in abilities(catalog, channel_id).items() if enabled}
    assert on == {("default", "m"), ("default", "n"), ("vip", "m"), ("vip", "n"), ("lab", "x")}
    assert abilities(catalog, channel_id, "weight")["lab", "x"] == 5
    assert abilities(catalog, channel_id, "upstream_model")["lab", "x"] == "ux"


def test_an_insert_for_a_known_group_or_model_leaves_the_others_alone(catalog: Catalog, channel_id: int) -> None:
    """Only pairs that this insert brought about are switched off."""
    insert = 'INSERT INTO abilities ("group", model, channel_id) VALUES (%s, %s, %s)'
    catalog.run(insert, "vip", "x", channel_id)
    assert abilities(catalog, channel_id)["default", "x"] is False
    catalog.run(insert, "lab", "m", channel_id)
    switched_on = {pair for pair, enabled in abilities(catalog, channel_id).items() if enabled}
    assert switched_on == {("default", "m"), ("default", "n"), ("vip", "m"), ("vip", "n"), ("vip", "x"), ("lab", "m")}


def test_an_insert_of_an_ability_that_exists_sets_it_as_given(catalog: Catalog, channel_id: int) -> None:
    """Deleting and inserting again switches it back on; inserting it off switches it off."""
    insert = """INSERT INTO abilities ("group", model, channel_id, enabled) VALUES ('vip', 'm', %s, %s)"""
    catalog.run("""DELETE FROM abilities WHERE "group" = 'vip' AND model = 'm'""")
    assert overrides(catalog) == [["vip", "m", False, None, None]]
    catalog.run(insert, channel_id, None)
    assert overrides(catalog) == []
    catalog.run(insert, channel_id, False)
    assert overrides(catalog) == [["vip", "m", False, None, None]]


def test_deleting_an_ability_switches_it_off(catalog: Catalog, channel_id: int) -> None:
    """The row stays and says so: an ability is only gone with its model or its group."""
    assert catalog.run("DELETE FROM abilities WHERE model = 'n'") == 2
    assert {pair for pair, on in abilities(catalog, channel_id).items() if on} == {("default", "m"), ("vip", "m")}
    catalog.run("DELETE FROM channel_models WHERE model = 'n'")
    assert set(abilities(catalog, channel_id)) == {("default", "m"), ("vip", "m")}
    assert overrides(catalog) == []


def test_returning_shows_the_ability_as_it_is_now(catalog: Catalog, channel_id: int) -> None:
    """Derived columns included."""
    returned = catalog.row(
        """UPDATE abilities SET enabled = false, weight = NULL WHERE "group" = 'vip' AND model = 'm' RETURNING *"""
    )
    assert (returned["enabled"], returned["effective"], returned["weight"]) == (False, False, 1)
    inserted = catalog.row(
        """INSERT INTO abilities ("group", model, channel_id) VALUES ('vip', 'x', %s) RETURNING *""", channel_id
    )
    assert (inserted["effective"], inserted["channel_name"]) == (True, "a")


IMPOSSIBLE = (
    ('"group", model, channel_id', "'vip', 'm', 404", psycopg.errors.ForeignKeyViolation),
    ('"group", model, channel_id', "'nobody', 'm', 1", psycopg.errors.ForeignKeyViolation),
    ('"group", model, channel_id', "'vip', '', 1", psycopg.errors.CheckViolation),
    ('"group", model', "'vip', 'm'", psycopg.errors.NotNullViolation),
    ('"group", model, channel_id, upstream_model', "'vip', 'm', 1, 'other'", psycopg.errors.FeatureNotSupported),
    ('"group", model, channel_id, effective', "'vip', 'm', 1, true", psycopg.errors.FeatureNotSupported),
)


@pytest.mark.usefixtures("channel_id")
def test_an_ability_that_cannot_be_is_refused(catalog: Catalog, subtests: pytest.Subtests) -> None:
    """No such channel, no such group, no name, or a value that is not the ability's to have."""
    for columns, values, error in IMPOSSIBLE:
        with subtests.test(values), pytest.raises(error):
            catalog.run(f"INSERT INTO abilities ({columns}) VALUES ({values})")
