"""A whole Trunkline as a user starts it (`trunkline up --json`), and what a user does with it.

Law: everything goes through public faces: the command line, HTTP, gRPC, psql. Names are drawn fresh, so that tests share one
stack and do not meet.
"""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import openai
import psycopg

from operator_cli.settings import inherited_environment
from tests.harness.waiting import PATIENCE

TRUNKLINE = (sys.executable, "-m", "operator_cli")
READY_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass(slots=True)
class Stack:
    """A running Trunkline."""

    process: subprocess.Popen[str]
    addresses: dict[str, Any]
    log: Path
    admin: httpx2.Client = field(init=False)
    _sdks: list[openai.OpenAI] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Open the admin's HTTP face."""
        token = self.addresses["admin_token"]
        self.admin = httpx2.Client(
            base_url=self.addresses["admin"], headers={"authorization": f"Bearer {token}"}, timeout=PATIENCE
        )

    @property
    def relay(self) -> str:
        """Where the relay answers."""
        return str(self.addresses["relay"])

    @property
    def routers(self) -> list[str]:
        """Where the routers answer gRPC."""
        return list(self.addresses["routers"])

    def ask(self, method: str, path: str, body: Any = None, **params: Any) -> dict[str, Any]:
        """Call the admin's HTTP face; fail on anything but success, with what it said."""
        answer = self.admin.request(method, path, json=body, params=params)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        value: dict[str, Any] = answer.json()
        return value

    def group(self) -> str:
        """Create a group of a fresh name."""
        name = unique("group")
        self.ask("POST", "/api/v1/groups", {"name": name})
        return name

    def channel(self, base_url: str, model: str, **fields: Any) -> dict[str, Any]:
        """Create a channel that serves one model, in force everywhere when this returns."""
        channel = {
            "name": unique("channel"),
            "provider": "openai-compatible",
            "base_url": base_url,
            "keys": ["sk-upstream-secret"],
            "models": [model],
            "groups": ["default"],
            **fields,
        }
        answer = self.ask("POST", "/api/v1/channels", channel)
        assert answer["visibility"]["lagging"] == answer["visibility"]["lapsed"] == []
        value: dict[str, Any] = answer["channel"]
        return value

    def api_key(self, group: str = "default", **fields: Any) -> str:
        """Create an API key; answer its secret."""
        answer = self.ask("POST", "/api/v1/api-keys", {"name": unique("key"), "group": group, **fields})
        return str(answer["api_key"]["secret"])

    def openai(self, api_key: str) -> Any:
        """The official SDK, pointed at the relay; it does not retry, so that a test sees each answer.

        Untyped, since its overloads want literals where tests pass what they made.
        """
        sdk = openai.OpenAI(base_url=f"{self.relay}/v1", api_key=api_key, max_retries=0, timeout=PATIENCE)
        self._sdks.append(sdk)
        return sdk

    def close(self) -> None:
        """Hang up every client."""
        self.admin.close()
        for sdk in self._sdks:
            sdk.close()

    def sql(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Type SQL as an operator would."""
        with psycopg.connect(self.addresses["dsn"], autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def postgres_pids(self) -> list[int]:
        """The postmaster and all its children."""
        postmaster = int(self.addresses["pids"]["postgres"])
        return [postmaster, *_children(postmaster)]


def _children(parent: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text()
            except OSError:
                continue  # it ended meanwhile
            if int(status.rpartition(")")[2].split()[1]) == parent:
                yield int(entry.name)


def unique(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


@contextmanager
def running(directory: Path, *arguments: str, **environment: str) -> Iterator[Stack]:
    """Start a stack on free ports, settings by keyword; stop it as Ctrl-C does at the end of the block."""
    log = directory / "trunkline.log"
    command = [*TRUNKLINE, "up", "--json", "--data-dir", str(directory / "data")]
    ports = [f"--{name}-port=0" for name in ("relay", "admin", "router", "admin-grpc")]
    with log.open("a") as errors:
        process = subprocess.Popen(
            [*command, *ports, *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**inherited_environment(), **environment},
        )
    try:
        stack = Stack(process, _ready_line(process, log), log)
        try:
            yield stack
        finally:
            stack.close()
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        finally:
            process.kill()
            assert process.stdout is not None
            process.stdout.close()


def _ready_line(process: subprocess.Popen[str], log: Path) -> dict[str, Any]:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], READY_SECONDS)
    line = process.stdout.readline() if readable else ""
    assert line, f"not ready within {READY_SECONDS} s:\n{log.read_text()[-4000:]}"
    addresses: dict[str, Any] = json.loads(line)
    return addresses
