"""Log files of children."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from operator_cli.errors import with_log_tail
from operator_cli.logs import open_log, trim


def test_a_log_past_its_bound_is_moved_aside_while_it_is_written(tmp_path: Path) -> None:
    """Whoever appends goes on at the new end, and what was there is kept once."""
    path = tmp_path / "a.log"
    with open_log(path) as output:
        os.write(output.fileno(), b"x" * 100)
        assert not trim(path, limit=100)
        assert trim(path, limit=99)
        os.write(output.fileno(), b"after")
    assert path.read_bytes() == b"after"
    assert (tmp_path / "a.log.1").read_bytes() == b"x" * 100


def test_a_log_is_its_owners_alone(tmp_path: Path) -> None:
    """Logs name clients and models."""
    open_log(tmp_path / "a.log").close()
    assert stat.S_IMODE((tmp_path / "a.log").stat().st_mode) == 0o600


def test_an_error_shows_the_end_of_the_log(tmp_path: Path) -> None:
    """The last lines usually say why; an empty log or none is no second error."""
    path = tmp_path / "a.log"
    assert with_log_tail("it failed", path) == "it failed"
    path.touch()
    assert "wrote nothing" in with_log_tail("it failed", path)
    path.write_text("\n".join(f"line {number}" for number in range(100)))
    shown = with_log_tail("it failed", path, lines=2)
    assert shown.splitlines()[1:] == ["    line 98", "    line 99"]
