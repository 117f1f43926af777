"""Writes what the code knows better than a writer: `docs/settings.md`, and the tables of `docs/protocol.md`.

`python docs/generate.py` writes; a test holds the files against the code. A part of a page that is written here stands
between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from admin_svc import service as admin
from admin_svc.settings import Settings as AdminSettings
from relay_svc import errors as relay_errors
from relay_svc.plan import PickRefused
from relay_svc.settings import Settings as RelaySettings
from router_svc import service as router
from router_svc.settings import Settings as RouterSettings
from trunkline import errors
from trunkline.errors import Cause, Reason, Refused
from trunkline.providers import PROVIDERS
from trunkline.settings import Declared, declared
from trunkline.v1 import admin_pb2, router_pb2

DOCS = Path(__file__).parent
PROTOS = DOCS.parent / "protos" / "trunkline" / "v1"
SERVICES = {"router_svc": RouterSettings, "relay_svc": RelaySettings, "admin_svc": AdminSettings}


def pages() -> dict[Path, str]:
    """Every page, as the code would have it now."""
    protocol = (DOCS / "protocol.md").read_text()
    parts = {
        "router": methods(router_pb2.DESCRIPTOR.services_by_name["RouterService"], router.SCOPES),
        "admin": methods(admin_pb2.DESCRIPTOR.services_by_name["AdminService"], admin.SCOPES),
        "providers": providers(),
        "refusals": refusals(),
        "causes": causes(),
    }
    for name, text in parts.items():
        protocol = replaced(protocol, name, text)
    return {DOCS / "protocol.md": protocol, DOCS / "settings.md": settings()}


def replaced(page: str, name: str, text: str) -> str:
    """A page with one of its generated parts written anew."""
    pattern = rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)"
    page, count = re.subn(pattern, lambda found: f"{found[1]}\n{text}\n{found[2]}", page, flags=re.DOTALL)
    assert count == 1, f"protocol.md has {count} parts named {name}"
    return page


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def methods(service: ServiceDescriptor, scopes: Mapping[str, str]) -> str:
    """A service's calls: name, shape, the scope it needs, and its comment in the proto."""
    comments = _comments(service)
    rows = [
        (
            f"`{method.name}`",
            _shape(method),
            f"`{scopes[f'/{service.full_name}/{method.name}']}`",
            comments[method.name],
        )
        for method in service.methods
    ]
    return table(["call", "shape", "scope", "what it does"], rows)


def _shape(method: MethodDescriptor) -> str:
    shapes = {(False, False): "unary", (True, True): "stream ⇄ stream"}
    return shapes[method.client_streaming, method.server_streaming]


def _comments(service: ServiceDescriptor) -> dict[str, str]:
    """The comment above each rpc; generated descriptors do not carry them."""
    comments: dict[str, str] = {}
    lines: list[str] = []
    for line in (PROTOS / Path(service.file.name).name).read_text().splitlines():
        if (found := re.match(r"  rpc (\w+)", line)) is not None:
            comments[found[1]] = " ".join(lines)
        lines = [*lines, line.strip()[3:]] if line.startswith("  // ") else []
    return comments


def providers() -> str:
    """Every provider that is known: its wire format, its address, and what it wants to know besides."""
    rows = []
    for provider in PROVIDERS.values():
        options = [
            f"`{option.name}` {option.sentence}" + " (required)" * option.required for option in provider.options
        ]
        address = f"`{provider.base_url}`" if provider.base_url else "–"
        rows.append((f"`{provider.name}`", f"`{provider.dialect}`", address, "; ".join(options)))
    return table(["provider", "wire format", "default `base_url`", "`provider_options`"], rows)


CAUSES: Mapping[Cause, str] = {
    Cause.DATABASE_UNREACHABLE: "no session with the database could be opened, or it was cut",
    Cause.DATABASE_SLOW: "the database did not answer in time",
    Cause.DATABASE_READ_ONLY: "the database takes no changes: a standby, or out of space",
    Cause.DATABASE_CONFLICT: "transactions got in each other's way, again and again",
    Cause.DATABASE_FAULT: "the database's schema is not what this service needs",
    Cause.STARTING: "the admin waits for its database, or brings its schema up to date",
    Cause.HEAD_MOVING: "the catalog was read, and was at another state by then",
    Cause.HEAD_UNSOUND: "the catalog's head is not the sum of its rows, or cannot be read: `SELECT catalog_repair()`",
    Cause.ROW_UNREADABLE: "a row that cannot be read may be the one asked for",
    Cause.KEY_NOT_OPENED: "a channel's key or proxy cannot be opened here, and others may be able to",
    Cause.TOO_MANY_WAITING: "more picks or calls wait than may",
    Cause.SECRETS_DIFFER: "the service's secrets are not those that the catalog is written with",
    Cause.SECRET_MISSING: "a pepper that the catalog is written with is missing here",
}


def causes() -> str:
    """Every cause that a refusal names."""
    return table(["cause", "what is so"], [(f"`{cause}`", CAUSES[cause]) for cause in Cause])


def refusals() -> str:
    """Every reason: its gRPC code, what the relay makes of it, whether to retry, and its message."""
    kinds = {kind.reason: kind for kind in vars(errors).values() if _is_leaf(kind)}
    rows = []
    for reason in Reason:
        kind = kinds[reason]
        at_relay = relay_errors.of_pick(PickRefused(reason, "", {}))
        status = str(at_relay.status) if at_relay.reason == reason else "–"
        retry = f"after {kind.retry_delay:g} s" if kind.retry_delay is not None else "no"
        message = kind.template if reason is not Reason.INVALID_FIELDS else "every field at fault, and why"
        rows.append((f"`{reason}`", kind.code.name, status, retry, message))
    return table(["reason", "gRPC code", "relay's HTTP status", "retry", "message"], rows)


def _is_leaf(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Refused) and kind is not Refused


def settings() -> str:
    """The page of all settings."""
    rows = {room: declared(kind) for room, kind in SERVICES.items()}
    everywhere = set.intersection(*({row.name for row in of_room} for of_room in rows.values()))
    parts = [SETTINGS_HEAD, "\n## All three services\n", _settings_table(rows["admin_svc"], everywhere)]
    for room, of_room in rows.items():
        own = {row.name for row in of_room} - everywhere
        parts += [f"\n## `python -m {room}`\n", _settings_table(of_room, own)]
    return "\n".join([*parts, UP])


def _settings_table(rows: Sequence[Declared], names: set[str]) -> str:
    shown = [(f"`{row.name}`", f"`{row.default}`" if row.default else "", row.doc) for row in rows if row.name in names]
    return table(["variable", "default", "what it is"], shown)


SETTINGS_HEAD = """# Settings

<!-- Written by docs/generate.py from the declarations in the code; change those. -->

Each service reads its settings from the environment, once, at its start. Whatever is at fault is reported together, and the
service leaves with status 78. An empty variable counts as unset. Times are seconds, or carry a unit: `250ms`, `30s`, `5m`,
`1h`. Addresses are `host:port` (port 0: a free one), or `fd:N` for a listening socket handed down (HTTP only). What listens
at, or dials, an address beyond the loopback interface needs TLS or `TRUNKLINE_ALLOW_PLAINTEXT`. Every secret has 16
characters or more, no two tokens are alike, and each can come from a file: `TRUNKLINE_PEPPER_FILE=/run/secrets/pepper`.
`SYNC_FREQUENCY`, `NODE_TYPE` and `DEBUG` are names that operators of this family of gateways know.

`trunkline up` makes the secrets once, in `secrets/` of its data directory, and passes every variable that it does not decide
itself on to the service that reads it. `TRUNKLINE_RELAY_LISTEN`, `TRUNKLINE_ADMIN_HTTP_LISTEN`, `TRUNKLINE_ADMIN_LISTEN` and
`TRUNKLINE_ROUTER_LISTEN` stand for `--host` and the flags of ports; an address that it cannot listen at is refused. Its data
directory is `/var/lib/trunkline` as root, else `$XDG_DATA_HOME/trunkline`, which usually is `~/.local/share/trunkline`."""


UP = """
## `trunkline up`

| flag | default | what it is |
| --- | --- | --- |
| `--data-dir DIR` | see above | Database, secrets and logs. One `trunkline up` at a time holds it. |
| `--dsn DSN` | | Use this Postgres (15 or newer) instead of the embedded one: a libpq string or URL. |
| `--routers N` | 2 | How many routers. |
| `--relays N` | 1 | How many relays, all on one port. |
| `--host ADDRESS` | 127.0.0.1 | Where the relay listens for clients, such as `0.0.0.0`; all else stays on 127.0.0.1. |
| `--relay-port PORT` | 3000 | Where clients send their requests. 0 is a free port, here and below. |
| `--admin-port PORT` | 3001 | The admin's HTTP port. |
| `--router-port PORT` | 50051 | The first router's gRPC port; the next take the next. |
| `--admin-grpc-port PORT` | 50061 | The admin's gRPC port. |
| `--demo` | | Add a small real language model, a channel and an API key, and try them. |
| `--json` | | Once ready, print one line of JSON to standard output: addresses, tokens, process ids. |

## `trunkline certs`

Services on several machines prove themselves to each other with certificates: `trunkline certs --dir DIR --name HOST`
makes a CA and a pair for routers, relays and admins, each file readable by its owner alone. Give every service
`ca.pem` and its own pair (`TRUNKLINE_TLS_CA`, `TRUNKLINE_TLS_CERT`, `TRUNKLINE_TLS_KEY`); `ca-key.pem` stays where it
was made. A certificate holds the name of what its holder is, such as `router.trunkline`, and whoever dials a router
asks for that name, so that no other certificate of the CA serves as one; `--name`, which may be repeated, adds the
host names by which HTTP is reached. Run again, it keeps what has a third of its time left and makes the rest anew;
`--renew` makes all anew, `--days` says how long they are valid (397). The CA is valid for ten years and is never
replaced. Services read their files at start: restart them one by one.
"""


def main() -> None:
    """Write the pages."""
    for path, text in pages().items():
        path.write_text(text)
        print(f"wrote {path.relative_to(DOCS.parent)}")


if __name__ == "__main__":
    main()
