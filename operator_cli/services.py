"""How each service is started: its module, and the environment that tells it who it is and whom to meet.

Law: this is the only place that knows the services' settings by name, and secrets reach a service as files, never by value:
an environment is copied into every grandchild and into crash reports.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from operator_cli.data_directory import DataDirectory
from operator_cli.ports import Port
from operator_cli.process import Program

_SECRETS = {
    "TRUNKLINE_PEPPER_FILE": "pepper",
    "TRUNKLINE_ENCRYPTION_KEYS_FILE": "encryption_keys",
    "TRUNKLINE_ADMIN_TOKEN_FILE": "admin_token",
    "TRUNKLINE_SERVICE_TOKEN_FILE": "service_token",
    "TRUNKLINE_RELAY_RUN_SECRET_FILE": "run_secret",
}
_RELAYS_SECRETS = ("TRUNKLINE_SERVICE_TOKEN_FILE", "TRUNKLINE_RELAY_RUN_SECRET_FILE")
"""A relay holds clients' and upstreams' bytes: it gets no way to the database, and no secret that opens more than a plan."""


@dataclass(frozen=True, slots=True)
class Services:
    """The house's programs, on one data directory and one database."""

    data: DataDirectory
    dsn: str = field(repr=False)  # may hold a password
    inherited: Callable[[str], Mapping[str, str]] = field(repr=False)
    """What a service of that name gets of our own environment."""

    def admin(self, http: Port, grpc: Port) -> Program:
        """The admin; it applies the migrations itself when it starts."""
        names = {
            "TRUNKLINE_ADMIN_LISTEN": grpc.address,
            "TRUNKLINE_ADMIN_HTTP_LISTEN": f"fd:{http.descriptor}",
        }
        return self._program("admin", "admin", names | self._database(), http)

    def router(self, number: int, http: Port, grpc: Port) -> Program:
        """Router `number`, counted from 1."""
        name = f"router-{number}"
        names = {
            "TRUNKLINE_ROUTER_LISTEN": grpc.address,
            "TRUNKLINE_ROUTER_HTTP_LISTEN": f"fd:{http.descriptor}",
            "TRUNKLINE_ROUTER_ID": grpc.address,
            "TRUNKLINE_ROUTER_ADVERTISE": grpc.address,
            "TRUNKLINE_ROUTER_SNAPSHOT_DIR": str(self.data.snapshots(name)),
        }
        return self._program(name, "router", names | self._database(), http)

    def relay(self, number: int, http: Port, own: Port, routers: Sequence[Port], *, alone: bool) -> Program:
        """Relay `number`, counted from 1. All relays share the clients' listening socket; on `own` each tells how it is.

        Unless it is alone, it keeps its metrics where they add up with the others', which costs a little a request.
        """
        names = {
            "TRUNKLINE_RELAY_LISTEN": f"fd:{http.descriptor}",
            "TRUNKLINE_RELAY_OPERATIONS_LISTEN": f"fd:{own.descriptor}",
            "TRUNKLINE_RELAY_ROUTERS": ",".join(port.address for port in routers),
        }
        if not alone:
            names["PROMETHEUS_MULTIPROC_DIR"] = str(self.data.relay_metrics)
        return self._program(f"relay-{number}", "relay", names, http, own)

    def _program(self, name: str, service: str, names: Mapping[str, str], *http: Port) -> Program:
        needed = _RELAYS_SECRETS if service == "relay" else _SECRETS.keys() - {"TRUNKLINE_RELAY_RUN_SECRET_FILE"}
        secrets = {variable: str(self.data.secret_file(_SECRETS[variable])) for variable in needed}
        return Program(
            name=name,
            argv=(sys.executable, "-m", f"{service}_svc"),
            environment={**self.inherited(service), "TRUNKLINE_DIE_WITH_PARENT": "true", **secrets, **names},
            log=self.data.logs / f"{name}.log",
            inherited=tuple(port.descriptor for port in http),
        )

    def _database(self) -> dict[str, str]:
        return {"TRUNKLINE_DSN": self.dsn}


def make_secrets(data: DataDirectory) -> None:
    """Make every secret the services read, where it does not exist yet."""
    for kind in _SECRETS.values():
        data.secret(kind)
