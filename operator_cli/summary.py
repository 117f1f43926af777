"""What is up and how to reach it: one JSON object for programs, a page for people.

Law: the names in the JSON are relied on by scripts and stay. It holds tokens, because whoever may read this output started
everything and can read their files as well.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from operator_cli.data_directory import DataDirectory
from operator_cli.demo import DemoRoute

_LOOK = "SELECT id, name, status, revision FROM channels"


@dataclass(frozen=True, slots=True)
class Summary:
    """The house once it is ready."""

    relay: str
    relays_own: Sequence[str]
    """Where each relay tells how it is: `/readyz`, `/metrics`."""
    admin: str
    admin_grpc: str
    routers: Sequence[str]
    dsn: str
    data: DataDirectory
    pids: Mapping[str, Sequence[int | None]]
    demo: DemoRoute | None = None

    def as_json(self) -> dict[str, object]:
        """For programs. `pids.postgres` is null with --dsn; `pids.relays` lists every relay."""
        found: dict[str, object] = {
            "relay": self.relay,
            "relay_operations": list(self.relays_own),
            "admin": self.admin,
            "admin_grpc": self.admin_grpc,
            "routers": list(self.routers),
            "dsn": self.dsn,
            "admin_token": self.data.secret("admin_token").reveal(),
            "service_token": self.data.secret("service_token").reveal(),
        }
        if self.demo is not None:
            found |= {"api_key": self.demo.api_key.reveal(), "model": self.demo.model}
        return found | {"pids": self._pids()}

    def as_text(self) -> str:
        """For people."""
        token = shlex.quote(str(self.data.secret_file("admin_token")))
        lines = [
            "",
            f"  relay     {self.relay}/v1",
            f"  metrics   {'  '.join(f'{own}/metrics' for own in self.relays_own)}",
            f"  admin     {self.admin}   gRPC {self.admin_grpc}",
            f"  routers   {'  '.join(self.routers)}",
            f"  data      {self.data.path}",
        ]
        if self.demo is not None:
            lines += [f"  API key   {self.demo.api_key.reveal()}", f"  model     {self.demo.model}"]
        lines += ["", "Try:", ""]
        if self.demo is not None:
            lines += [self.demo.command(self.relay), ""]
        lines += [
            f'  curl {self.admin}/api/v1/channels -H "Authorization: Bearer $(cat {token})"',
            "",
            f"  psql {shlex.quote(self.dsn)} -c {shlex.quote(_LOOK)}",
            "",
            "Ctrl-C stops everything.",
            "",
        ]
        return "\n".join(lines)

    def _pids(self) -> dict[str, object]:
        def first(kind: str) -> int | None:
            return next(iter(self.pids[kind]), None)

        return {
            "supervisor": os.getpid(),
            "postgres": first("postgres"),
            "admin": first("admin"),
            "router": list(self.pids["router"]),
            "relay": first("relay"),
            "relays": list(self.pids["relay"]),
        }
