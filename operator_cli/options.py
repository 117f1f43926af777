"""What can be typed after `trunkline`.

Law: faults of a command line are found before anything is touched, and say which flag is wrong.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from operator_cli.certificates import DOMAIN, CertsOptions
from operator_cli.settings import LISTENS, default_data_directory, listens
from trunkline import __version__
from trunkline.settings import Listen

_LAST_PORT = 65535
_HOST = re.compile(r"[A-Za-z0-9*]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The flags of `trunkline up`. A port given as 0 is a free one."""

    data_dir: Path
    dsn: str | None = field(repr=False)  # may hold a password
    routers: int
    relays: int
    host: str
    relay_port: int
    admin_port: int
    router_port: int
    admin_grpc_port: int
    demo: bool
    as_json: bool

    def router_ports(self) -> list[int]:
        """One port a router: counted up from the first, or all free ones."""
        if self.router_port == 0:
            return [0] * self.routers
        return list(range(self.router_port, self.router_port + self.routers))


def parse(arguments: Sequence[str]) -> UpOptions | CertsOptions:
    """Read a command line. Leaves through SystemExit, as argparse does, on --help, --version and faults.

    Raises OperatorError for what the environment says and `up` cannot do.
    """
    parser = argparse.ArgumentParser(prog="trunkline", description="LLM API routing.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"trunkline {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", dest="command")
    up = commands.add_parser(
        "up",
        help="run everything on this machine",
        description="Run admin, routers, relays and their database on this machine, until Ctrl-C.",
        allow_abbrev=False,
    )
    certs = commands.add_parser(
        "certs",
        help="make certificates for services on several machines",
        description="Make a CA and a certificate for routers, relays and admins, or renew those that end soon.",
        allow_abbrev=False,
    )
    _add_certs_flags(certs)
    if "up" in arguments:  # whose defaults the environment says
        _add_up_flags(up, listens())
    flags = vars(parser.parse_args(arguments))
    if flags.pop("command") == "certs":
        return CertsOptions(**flags | {"names": tuple(flags["names"])})
    options = UpOptions(**flags)
    if max(options.router_ports()) > _LAST_PORT:
        up.error(f"--router-port {options.router_port} leaves no room for {options.routers} routers")
    return options


def _add_certs_flags(certs: argparse.ArgumentParser) -> None:
    add = certs.add_argument
    add(
        "--dir",
        dest="directory",
        type=_directory,
        default=Path("trunkline-certs").absolute(),
        metavar="DIR",
        help="default: %(default)s",
    )
    add(
        "--name",
        dest="names",
        type=_name,
        action="append",
        default=[],
        metavar="HOST",
        help="a host name or address that the services' HTTP is reached by; may be repeated",
    )
    add("--days", type=_days, default=397, metavar="N", help="how long certificates are valid; default: %(default)s")
    add("--renew", action="store_true", help="make them anew, however long they are valid")


def _name(text: str) -> str:
    if not _HOST.fullmatch(text) or text.lower().endswith(DOMAIN):
        raise argparse.ArgumentTypeError(f"{text!r} is not a host name or an address outside {DOMAIN}")
    return text.lower()


def _days(text: str) -> int:
    return _number(text, 1, 3_650)


def _add_up_flags(up: argparse.ArgumentParser, given: Mapping[str, Listen]) -> None:
    add = up.add_argument
    ports = {LISTENS[name].replace("_", "-"): listen.port for name, listen in given.items()}
    relay = given.get("TRUNKLINE_RELAY_LISTEN")
    add("--data-dir", type=_directory, default=default_data_directory(), metavar="DIR", help="default: %(default)s")
    add("--dsn", help="use this Postgres instead of the embedded one (a libpq string or URL)")
    add("--routers", type=_count, default=2, metavar="N", help="how many routers; default: %(default)s")
    add("--relays", type=_count, default=1, metavar="N", help="how many relays, on one port; default: %(default)s")
    add(
        "--host",
        type=_host,
        default=relay.host if relay else "127.0.0.1",
        metavar="ADDRESS",
        help="where the relay listens for clients; all else stays on 127.0.0.1; default: %(default)s",
    )
    for flag, port, what in (
        ("--relay-port", 3000, "where clients send their requests"),
        ("--admin-port", 3001, "the admin's HTTP port"),
        ("--router-port", 50051, "gRPC port of the first router; the next take the next"),
        ("--admin-grpc-port", 50061, "the admin's gRPC port"),
    ):
        default = ports.get(flag.removeprefix("--"), port)
        add(flag, type=_port, default=default, metavar="PORT", help=f"{what}; default: %(default)s, 0: a free one")
    add("--demo", action="store_true", help="add a small real LLM server, a channel and an API key, and try them")
    add("--json", dest="as_json", action="store_true", help="once ready, print one line of JSON to standard output")


def _directory(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("is empty")
    return Path(text).expanduser().absolute()


def _host(text: str) -> str:
    try:
        return text if text == "localhost" else str(ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address such as 0.0.0.0 or ::1") from None


def _count(text: str) -> int:
    return _number(text, 1, 64)


def _port(text: str) -> int:
    return _number(text, 0, _LAST_PORT)


def _number(text: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least} to {most}")
    return int(text)
