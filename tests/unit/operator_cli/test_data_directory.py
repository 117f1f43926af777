"""The folder `trunkline up` owns."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from operator_cli.data_directory import held
from operator_cli.errors import DataDirectoryError, DataDirectoryInUseError
from trunkline.secret import Sealer


def mode(path: Path) -> int:
    """The permission bits of `path`."""
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    """A second start reads what the first one made: sealed keys depend on it."""
    with held(tmp_path / "deep" / "data") as data:
        first = {kind: data.secret(kind).reveal() for kind in ("pepper", "admin_token", "service_token")}
        Sealer.parse(data.secret("encryption_keys"))
        assert mode(data.path) == 0o711
        assert mode(data.path / "secrets") == mode(data.logs) == 0o700
        assert {mode(file) for file in (data.path / "secrets").iterdir()} == {0o600}
    with held(tmp_path / "deep" / "data") as data:
        assert {kind: data.secret(kind).reveal() for kind in first} == first
    assert len(set(first.values())) == len(first)


def test_a_secret_that_exists_is_never_replaced(tmp_path: Path) -> None:
    """Of two writers the first wins, and no half-written file is left behind."""
    with held(tmp_path / "data") as data:
        data.keep_secret("pepper", "first")
        data.keep_secret("pepper", "second")
        assert data.secret("pepper").reveal() == "first"
        data.keep_secret("demo_api_key", "old")
        data.keep_secret("demo_api_key", "new", replace=True)
        assert data.secret_file("demo_api_key").read_text() == "new\n"
        assert {file.name for file in (data.path / "secrets").iterdir()} == {"pepper", "demo_api_key"}


def test_a_directory_in_use_is_refused_and_names_its_holder(tmp_path: Path) -> None:
    """Two supervisors on one cluster would be the end of it."""
    with (
        held(tmp_path / "data"),
        pytest.raises(DataDirectoryInUseError, match=r"in use by another trunkline \(pid \d+\)"),
        held(tmp_path / "data"),
    ):
        pass
    with held(tmp_path / "data"):
        """Free again."""


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    """A folder with other things in it is neither adopted nor changed."""
    tmp_path.chmod(0o755)
    (tmp_path / ".bashrc").touch()
    with pytest.raises(DataDirectoryError, match="no trunkline data directory"), held(tmp_path):
        pass
    assert mode(tmp_path) == 0o755
    assert [entry.name for entry in tmp_path.iterdir()] == [".bashrc"]


def test_a_file_in_its_place_is_said(tmp_path: Path) -> None:
    """What cannot be a directory is refused with the system's own words."""
    (tmp_path / "file").touch()
    with pytest.raises(DataDirectoryError, match="cannot be used"), held(tmp_path / "file"):
        pass
