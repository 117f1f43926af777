"""Where the database's socket lives."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from operator_cli.errors import PostgresError
from operator_cli.postgres.socket import LONGEST_PATH, fits, folder_name, socket_folder

UID, GID = os.geteuid(), os.getegid()


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder with a short path, where pytest's own may be too deep for a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_the_name_does_not_grow_with_the_data_directory() -> None:
    """However deep the data lies, the socket's path fits, and stays the same from start to start."""
    deep = Path("/" + "d" * 250) / ("e" * 250)
    assert len(folder_name(deep)) == len(folder_name(Path("/a")))
    assert folder_name(deep) == folder_name(deep) != folder_name(Path("/a"))
    assert fits(Path("/run") / folder_name(deep))


def test_a_path_of_107_bytes_fits_and_one_more_does_not() -> None:
    """The kernel's bound counts bytes, the file's name among them."""
    name = len("/.s.PGSQL.5432")
    assert fits(Path("/" + "x" * (LONGEST_PATH - name - 1)))
    assert not fits(Path("/" + "x" * (LONGEST_PATH - name)))
    assert not fits(Path("/" + "é" * ((LONGEST_PATH - name) // 2 + 1)))


def test_the_folder_is_closed_to_others_and_found_again(home: Path) -> None:
    """Only its owner enters, and the next start uses the same."""
    folder = socket_folder(Path("/data"), UID, GID, homes=(home,))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert socket_folder(Path("/data"), UID, GID, homes=(home,)) == folder


def test_a_folder_others_can_write_to_is_not_trusted(home: Path) -> None:
    """In a place for everybody, a folder somebody prepared is passed over for a fresh one."""
    trap = home / folder_name(Path("/data"))
    trap.mkdir()
    trap.chmod(0o777)
    folder = socket_folder(Path("/data"), UID, GID, homes=(home,))
    assert folder != trap
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_link_somebody_left_is_not_followed(home: Path) -> None:
    """A symbolic link of the right name leads nowhere."""
    elsewhere = home / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (home / folder_name(Path("/data"))).symlink_to(elsewhere)
    assert socket_folder(Path("/data"), UID, GID, homes=(home,)).resolve() != elsewhere


def test_no_place_at_all_is_said(home: Path) -> None:
    """Where no folder can be made, the message names the places tried."""
    with pytest.raises(PostgresError, match="missing"):
        socket_folder(Path("/data"), UID, GID, homes=(home / "missing",))
