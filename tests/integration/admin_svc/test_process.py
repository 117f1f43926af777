"""`python -m admin_svc` as operators run it: its settings, its start, its drain, and its silence about secrets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from tests.harness.waiting import PATIENCE, eventually
from tests.integration.admin_svc.conftest import ADMIN_TOKEN, ENVIRONMENT

CHANNEL_KEY, HEADER_VALUE = "sk-upstream-0123456789", "header-s3cret-value"
PROXY_PASSWORD = "pr0xy-s3cret"


class Process:
    """A running service with its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, address: str) -> None:
        self.process, self.log = process, log
        headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
        self.http = httpx2.Client(base_url=f"http://{address}", headers=headers, timeout=PATIENCE, trust_env=False)

    def readiness(self) -> int:
        """The status of `/readyz`; 0 while nobody answers."""
        try:
            return self.http.get("/readyz").status_code
        except httpx2.TransportError:
            return 0

    def lines(self) -> list[dict[str, Any]]:
        """The log, line by line."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


@contextmanager
def started(tmp_path: Path, port: int, **environment: str) -> Iterator[Process]:
    """Start a service with its HTTP side on a port; killed at the end, should it still run."""
    log = tmp_path / "admin.log"
    address = f"127.0.0.1:{port}"
    variables = {"PATH": os.environ["PATH"], **ENVIRONMENT, "TRUNKLINE_ADMIN_HTTP_LISTEN": address, **environment}  # noqa: TID251
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "admin_svc"], env=variables, stdout=output, stderr=output)
    service = Process(process, log, address)
    try:
        yield service
    finally:
        service.http.close()
        process.kill()
        process.wait(PATIENCE)


def test_every_fault_of_the_settings_is_told_at_once_and_no_secret() -> None:
    """Exit status 78, one line a fault."""
    environment = {
        "PATH": os.environ["PATH"],  # noqa: TID251
        "TRUNKLINE_ADMIN_TOKEN": "a-token-of-its-own-0123",
        "TRUNKLINE_ENCRYPTION_KEYS": "s3cret",
        "TRUNKLINE_ADMIN_LISTEN": "fd:3",
        "TRUNKLINE_ADMIN_POOL_SIZE": "none",
    }
    done = subprocess.run(
        [sys.executable, "-m", "admin_svc"],
        env=environment,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        text=True,
    )
    assert done.returncode == 78
    for name in ("SERVICE_TOKEN", "DSN", "PEPPER", "ENCRYPTION_KEYS", "ADMIN_POOL_SIZE"):
        assert f"TRUNKLINE_{name}:" in done.stderr
    assert "s3cret" not in done.stderr


def test_it_migrates_serves_and_drains_and_never_logs_a_secret(
    database_dsn: str, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """From an empty database to SIGTERM, at the most talkative level, with faults on the way."""
    with started(tmp_path, free_port(), TRUNKLINE_DSN=database_dsn, DEBUG="true") as service:
        eventually(lambda: service.readiness() == 200)
        channel = {
            "name": "a",
            "provider": "p",
            "base_url": "http://h",
            "keys": [CHANNEL_KEY],
            "header_overrides": {"X-A": HEADER_VALUE},
            "proxy_url": f"http://user:{PROXY_PASSWORD}@proxy:8080",
        }
        assert service.http.post("/api/v1/channels", json=channel).status_code == 200
        assert service.http.post("/api/v1/channels", json=channel).status_code == 409
        assert service.http.post("/api/v1/channels", json=channel | {"name": ""}).status_code == 400
        wrong_proxy = {"proxy_url": f"ftp://user:{PROXY_PASSWORD}@proxy"}
        assert service.http.post("/api/v1/channels", json=channel | wrong_proxy).status_code == 400
        secret = service.http.post("/api/v1/api-keys", json={"name": "k"}).json()["api_key"]["secret"]
        # A fault that nobody foresaw: the row that Postgres quotes in its message holds the header's value.
        with psycopg.connect(database_dsn, autocommit=True) as hand:
            hand.execute("ALTER TABLE channels ADD CONSTRAINT odd CHECK (remark <> 'odd')")
        fault = service.http.patch("/api/v1/channels/1", json={"remark": "odd"})
        assert (fault.status_code, fault.json()["error_code"]) == (500, "INTERNAL")
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(PATIENCE) == 0
        log = service.log.read_text()
        for hidden in (CHANNEL_KEY, HEADER_VALUE, PROXY_PASSWORD, secret, ADMIN_TOKEN, 'pepper"', "A" * 43):
            assert hidden not in log
        assert "odd" in log
        committed = [line for line in service.lines() if line["event"] == "mutation committed"]
        assert [line["method"] for line in committed] == ["CreateChannel", "CreateApiKey"]
        assert committed[0].keys() >= {"actor", "revision", "request_id", "visible_on", "of"}


def test_it_waits_for_its_database_and_says_that_it_is_not_ready(
    migrated_dsn: str, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """Readiness is false meanwhile, health is true; it begins as soon as the database can be reached."""
    parts = psycopg.conninfo.conninfo_to_dict(migrated_dsn)
    socket_dir = tmp_path / "later"
    dsn = psycopg.conninfo.make_conninfo(migrated_dsn, host=str(socket_dir))
    with started(tmp_path, free_port(), TRUNKLINE_DSN=dsn) as service:
        eventually(lambda: service.readiness() == 503)
        assert service.http.get("/health").status_code == 200
        refused = service.http.get("/api/v1/channels")
        assert (refused.status_code, refused.json()["error_code"]) == (503, "DATABASE_UNAVAILABLE")
        assert refused.headers["retry-after"] == "1"
        socket_dir.symlink_to(str(parts["host"]))
        eventually(lambda: service.readiness() == 200)


def test_it_gives_up_on_a_database_that_never_comes(tmp_path: Path, free_port: Callable[[], int]) -> None:
    """Within its start timeout, with one clear line and exit status 1."""
    dsn = f"host={tmp_path} dbname=nobody"
    with started(tmp_path, free_port(), TRUNKLINE_DSN=dsn, TRUNKLINE_ADMIN_START_TIMEOUT="300ms") as service:
        assert service.process.wait(PATIENCE) == 1
        assert "could not be reached within" in service.lines()[-1]["fault"]


@pytest.mark.parametrize("setting", ["TRUNKLINE_ADMIN_HTTP_LISTEN", "TRUNKLINE_ADMIN_LISTEN"])
def test_an_address_in_use_is_said_so(
    migrated_dsn: str, tmp_path: Path, free_port: Callable[[], int], setting: str
) -> None:
    """By its address, with exit status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with started(tmp_path, free_port(), TRUNKLINE_DSN=migrated_dsn, **{setting: address}) as service:
            assert service.process.wait(PATIENCE) == 1
            assert address in service.lines()[-1]["fault"]
