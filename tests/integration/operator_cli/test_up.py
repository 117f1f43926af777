"""`trunkline up` keeps a house running: real processes, a real database, stand-in services."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.harness.processes import is_alive, working_in
from tests.harness.waiting import PATIENCE, eventually
from tests.integration.operator_cli.conftest import Up

Start = Callable[..., Up]


def answering(url: str) -> int:
    """The process number of the stand-in that answers at `url`."""
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:  # noqa: S310 — always our own http URL
        return int(response.read())


def accepts(address: str) -> bool:
    """Whether somebody takes connections at `address`."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


def journal(up: Up) -> list[str]:
    """What the stand-ins noted, in order."""
    file = up.stand_ins / "journal"
    return file.read_text().splitlines() if file.exists() else []


def test_the_ready_line_names_everything_and_is_alone(start_up: Start) -> None:
    """Scripts read one line of JSON; all that it names answers."""
    up = start_up("--relays=2", "--routers=3")
    ready = up.ready
    named = {
        "relay",
        "relay_operations",
        "admin",
        "admin_grpc",
        "routers",
        "dsn",
        "admin_token",
        "service_token",
        "pids",
    }
    assert set(ready) == named
    assert ready["pids"]["supervisor"] == up.process.pid
    assert (len(ready["routers"]), len(ready["pids"]["router"]), len(ready["pids"]["relays"])) == (3, 3, 2)
    assert answering(ready["admin"]) == ready["pids"]["admin"]
    assert answering(ready["relay"]) in ready["pids"]["relays"]
    assert all(map(accepts, [*ready["routers"], ready["admin_grpc"]]))
    with psycopg.connect(ready["dsn"]) as connection:
        assert connection.info.user == connection.info.dbname == "trunkline"
    up.process.send_signal(signal.SIGTERM)
    assert up.process.communicate(timeout=PATIENCE)[0] == ""


def test_a_stop_drains_in_order_and_the_data_stays(start_up: Start) -> None:
    """First who takes requests, then who answers them, then the database; the next start finds everything again."""
    up = start_up()
    with psycopg.connect(up.ready["dsn"]) as connection:
        connection.execute("CREATE TABLE kept (n int)")
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(PATIENCE) == 0
    assert journal(up) == ["relay", "router", "router", "admin"]
    assert not any(map(is_alive, up.pids()))
    assert not (up.data / "postgres" / "postmaster.pid").exists()

    again = start_up()
    with psycopg.connect(again.ready["dsn"]) as connection:
        connection.execute("SELECT n FROM kept")
    for name in ("dsn", "admin_token", "service_token"):
        assert again.ready[name] == up.ready[name]


def test_a_machine_that_lacks_a_library_runs_without_the_demo_model_and_says_so_once(
    start_up: Start, tmp_path: Path
) -> None:
    """Everything else is ready; what lacks, and the package that has it, is one line and no traceback."""
    lacks = "libgomp.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "stand_ins" / "xllamacpp.py").write_text(f"raise ImportError({lacks!r})")
    up = start_up("--demo")
    assert "model" not in up.ready
    assert answering(up.ready["admin"]) == up.ready["pids"]["admin"]
    up.process.send_signal(signal.SIGTERM)
    said = up.complaint()
    assert said.count("no demo model: this machine lacks libgomp.so.1 (Debian: apt-get install libgomp1)") == 1
    assert "Traceback" not in said
    assert up.process.returncode == 0


def test_a_child_that_dies_comes_back_on_its_port(start_up: Start) -> None:
    """Whoever knew its address still does, HTTP and gRPC alike."""
    up = start_up("--routers=1")
    router, relay = up.child_of("router"), up.child_of("relay")
    os.kill(router, signal.SIGKILL)
    os.kill(relay, signal.SIGKILL)
    assert answering(up.ready["relay"]) != relay, "the connection waits in the queue until somebody is there"
    eventually(lambda: accepts(up.ready["routers"][0]), what="the router listens again")


def test_a_database_that_dies_comes_back_with_its_data(start_up: Start) -> None:
    """A killed server recovers from its own log."""
    up = start_up()
    with psycopg.connect(up.ready["dsn"]) as connection:
        connection.execute("CREATE TABLE kept (n int)")
    os.kill(up.child_of("postgres"), signal.SIGKILL)

    def kept() -> bool:
        try:
            with psycopg.connect(up.ready["dsn"], connect_timeout=PATIENCE) as connection:
                connection.execute("SELECT n FROM kept")
        except psycopg.OperationalError:
            return False
        return True

    eventually(kept)


def test_nothing_outlives_a_killed_supervisor_and_the_next_one_goes_on(start_up: Start) -> None:
    """A kill -9 leaves no orphan, and the data directory is free for the next start at once."""
    up = start_up()
    with psycopg.connect(up.ready["dsn"]) as connection:
        connection.execute("CREATE TABLE kept (n int)")
    up.process.kill()
    again = start_up()
    assert not any(map(is_alive, up.pids()))
    with psycopg.connect(again.ready["dsn"]) as connection:
        connection.execute("SELECT n FROM kept")


def test_everything_killed_at_once_recovers(start_up: Start) -> None:
    """As after a power cut: no orderly shutdown of anything, and the next start works."""
    up = start_up()
    for pid in (up.process.pid, up.child_of("postgres")):
        os.kill(pid, signal.SIGKILL)
    start_up()


def test_a_port_in_use_is_named_with_its_flag(start_up: Start) -> None:
    """One clear message, and nothing was started."""
    for flag, host in (("--relay-port", "127.0.0.1"), ("--admin-grpc-port", "127.0.0.1"), ("--router-port", "0.0.0.0")):  # noqa: S104 — a stranger may listen everywhere
        with socket.create_server((host, 0), reuse_port=True) as taken:
            port = taken.getsockname()[1]
            up = start_up(f"{flag}={port}", ready=False)
            complaint = up.complaint()
        assert up.process.returncode == 1
        assert re.search(rf"^trunkline: port {port} on 127\.0\.0\.1 is already in use; .*{flag}", complaint)
        assert complaint.count("\n") == 1
    assert not (up.data / "postgres").exists()


def test_a_data_directory_in_use_is_refused(start_up: Start) -> None:
    """The second supervisor leaves the first alone."""
    up = start_up()
    second = start_up(ready=False)
    assert f"(pid {up.process.pid})" in second.complaint()
    assert second.process.returncode == 1
    assert answering(up.ready["relay"]) == up.child_of("relay")


def test_a_service_that_cannot_start_shows_why_and_takes_nothing_with_it(start_up: Start, tmp_path: Path) -> None:
    """The last lines of its log, exit status 1, and everything started before it is stopped."""
    (tmp_path / "stand_ins" / "router.fault").parent.mkdir(exist_ok=True)
    (tmp_path / "stand_ins" / "router.fault").write_text("exit")
    up = start_up(ready=False)
    complaint = up.complaint()
    assert up.process.returncode == 1
    assert re.search(r"trunkline: router-\d ended before it was ready; the last lines of .*router-\d\.log:", complaint)
    assert "router: the settings are at fault" in complaint
    assert "Traceback" not in complaint
    assert working_in(up.data / "postgres") == []


def test_a_database_that_cannot_start_shows_why(start_up: Start) -> None:
    """Postgres's own last words are in the message."""
    up = start_up()
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(PATIENCE) == 0
    with (up.data / "postgres" / "postgresql.conf").open("a") as configuration:
        configuration.write("shared_buffers = '-1 parsecs'\n")
    again = start_up(ready=False)
    complaint = again.complaint()
    assert again.process.returncode == 1
    assert "postgres ended before it was ready" in complaint
    assert "parsecs" in complaint


def test_a_child_that_ignores_sigterm_can_be_hurried(start_up: Start, tmp_path: Path) -> None:
    """A second signal does not wait out the drain: the child is killed, the rest still stops in order."""
    (tmp_path / "stand_ins" / "relay.fault").write_text("ignore SIGTERM")
    up = start_up()
    up.process.send_signal(signal.SIGTERM)
    eventually(lambda: "relay ignores it" in journal(up), what="the relay was asked to stop")
    up.process.send_signal(signal.SIGTERM)
    complaint = up.complaint()
    assert up.process.returncode == 0
    assert "relay-1 did not stop on SIGTERM" in complaint
    assert journal(up) == ["relay ignores it", "router", "router", "admin"]


def test_secrets_and_logs_are_closed_and_the_way_to_the_database_is_not(start_up: Start) -> None:
    """What is secret is the owner's alone; the database's user passes through the rest."""
    up = start_up()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (up.data, *up.data.iterdir())}
    assert modes["data"] == 0o711
    assert modes["secrets"] == modes["logs"] == modes["postgres"] == 0o700
    assert (up.data / "postgres").stat().st_uid != 0


@pytest.mark.parametrize("given", ["host=/nowhere user=a password=hunter2", "not a dsn"], ids=str)
def test_a_database_of_ones_own_that_does_not_answer_is_said(start_up: Start, given: str) -> None:
    """With --dsn nothing is embedded, and a wrong one is an operator's to mend; no password is repeated."""
    up = start_up(f"--dsn={given}", ready=False)
    complaint = up.complaint()
    assert up.process.returncode == 1
    assert "--dsn" in complaint
    assert "hunter2" not in complaint
    assert not (up.data / "postgres").exists()


def test_the_relay_alone_is_opened_and_only_when_plaintext_is_allowed(
    start_up: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the environment says of its address holds; before anything is started, the rule for plaintext is asked."""
    monkeypatch.setenv("TRUNKLINE_RELAY_LISTEN", "0.0.0.0:3000")
    refused = start_up(ready=False)
    assert "TRUNKLINE_ALLOW_PLAINTEXT" in refused.complaint()
    assert refused.process.wait(PATIENCE) == 1
    assert not refused.data.exists()
    monkeypatch.setenv("TRUNKLINE_ALLOW_PLAINTEXT", "true")
    up = start_up()
    at = {kind: int(up.ready[kind].rpartition(":")[2]) for kind in ("relay", "admin", "admin_grpc")}
    others = "127.0.0.2"  # of the loopback network, and not the address that everything else listens at
    assert accepts(f"{others}:{at['relay']}")
    assert not accepts(f"{others}:{at['admin']}")
    assert not accepts(f"{others}:{at['admin_grpc']}")
    assert answering(up.ready["relay"]) == up.child_of("relay")


def test_a_relay_is_given_no_secret_that_it_does_not_need(start_up: Start) -> None:
    """Its environment names two files of secrets, no database and no token of the admin's."""
    up = start_up()
    secrets = {
        kind: {
            name.partition("=")[0]
            for name in Path(f"/proc/{up.child_of(kind)}/environ").read_text().split("\0")
            if "secrets/" in name or "DSN" in name
        }
        for kind in ("relay", "router", "admin")
    }
    assert secrets["relay"] == {"TRUNKLINE_SERVICE_TOKEN_FILE", "TRUNKLINE_RELAY_RUN_SECRET_FILE"}
    every = {f"TRUNKLINE_{name}_FILE" for name in ("PEPPER", "ENCRYPTION_KEYS", "ADMIN_TOKEN", "SERVICE_TOKEN")}
    assert secrets["router"] == secrets["admin"] == {*every, "TRUNKLINE_DSN"}
