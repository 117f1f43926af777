"""What this room takes from the environment: where data goes by default, where to listen, and what children inherit.

Law: settings of the services pass through `trunkline up` untouched, except those it decides itself; one that would make it
listen elsewhere than it does is honoured or refused, never dropped. A child gets the settings of its own service alone.
"""

from __future__ import annotations

import os
from pathlib import Path

from operator_cli.errors import OperatorError
from trunkline.plaintext import plaintext_fault
from trunkline.settings import Listen

_DECIDED_HERE = frozenset(
    {
        "TRUNKLINE_DSN",
        "TRUNKLINE_DIE_WITH_PARENT",
        "TRUNKLINE_ROUTER_ID",
        "TRUNKLINE_ROUTER_SNAPSHOT_DIR",
    }
)
_SECRETS = (
    "TRUNKLINE_ADMIN_TOKEN",
    "TRUNKLINE_SERVICE_TOKEN",
    "TRUNKLINE_PEPPER",
    "TRUNKLINE_ENCRYPTION_KEYS",
    "TRUNKLINE_RELAY_RUN_SECRET",
)
LISTENS = {
    "TRUNKLINE_RELAY_LISTEN": "relay_port",
    "TRUNKLINE_ADMIN_HTTP_LISTEN": "admin_port",
    "TRUNKLINE_ADMIN_LISTEN": "admin_grpc_port",
    "TRUNKLINE_ROUTER_LISTEN": "router_port",
}
"""Variables that say what a flag says: the flag's default is theirs."""
_OPENED_BY_HOST = "TRUNKLINE_RELAY_LISTEN"
_REFUSED = {
    "TRUNKLINE_ROUTER_HTTP_LISTEN": "each router of its own takes a free port",
    "TRUNKLINE_RELAY_OPERATIONS_LISTEN": "each relay of its own takes a free port",
    "TRUNKLINE_ROUTER_ADVERTISE": "its services meet on the loopback interface",
    "TRUNKLINE_RELAY_ROUTERS": "its relays ask its own routers",
    "TRUNKLINE_TLS_CERT": "its services meet on the loopback interface, without TLS",
    "TRUNKLINE_TLS_KEY": "its services meet on the loopback interface, without TLS",
    "TRUNKLINE_TLS_CA": "its services meet on the loopback interface, without TLS",
    "TRUNKLINE_RELAY_HTTPS_CERT": "let a front speak TLS for the relay",
    "TRUNKLINE_RELAY_HTTPS_KEY": "let a front speak TLS for the relay",
}
_OWN = {"admin": "TRUNKLINE_ADMIN_", "router": "TRUNKLINE_ROUTER_", "relay": "TRUNKLINE_RELAY_"}
_ADMINS_AND_ROUTERS = ("TRUNKLINE_TOKENS", "TRUNKLINE_TOKENS_FILE")


def default_data_directory() -> Path:
    """`/var/lib/trunkline` as root, else `$XDG_DATA_HOME/trunkline` (`~/.local/share/trunkline`)."""
    if os.geteuid() == 0:
        return Path("/var/lib/trunkline")
    home = os.environ.get("XDG_DATA_HOME", "")
    # The specification has relative paths ignored.
    base = Path(home) if home.startswith("/") else Path.home() / ".local" / "share"
    return base / "trunkline"


def inherited_environment(service: str = "") -> dict[str, str]:
    """The environment for a child: ours, without what is decided here, other services' settings and libpq's own names.

    PGHOSTADDR or PGOPTIONS of whoever types would change where and how every child connects. A relay, which speaks to
    anybody, gets no token but its own; what is none of our services gets the settings of none.
    """
    dropped = {*_DECIDED_HERE, *LISTENS, *_REFUSED, *_SECRETS, *(f"{name}_FILE" for name in _SECRETS)}
    if service not in ("admin", "router"):
        dropped.update(_ADMINS_AND_ROUTERS)
    foreign = ("PG", *(prefix for name, prefix in _OWN.items() if name != service))
    return {name: value for name, value in os.environ.items() if name not in dropped and not name.startswith(foreign)}


def listens() -> dict[str, Listen]:
    """What the environment says of where to listen, by variable. Raises OperatorError for what `up` cannot do."""
    for name, why in _REFUSED.items():
        if os.environ.get(name):
            raise OperatorError(
                f"{name} cannot be had from `trunkline up` ({why}): unset it, or run the services apart"
            )
    found: dict[str, Listen] = {}
    for name in LISTENS:
        text = os.environ.get(name)
        if not text:
            continue
        try:
            found[name] = Listen.parse(text)
        except ValueError as fault:
            raise OperatorError(f"{name} is {fault}") from None
        if found[name].fd is not None:
            raise OperatorError(f"{name} cannot be a descriptor for `trunkline up`: give host:port")
        if name != _OPENED_BY_HOST and found[name].host != "127.0.0.1":
            raise OperatorError(
                f"{name}={text}: `trunkline up` serves the admin and the routers on 127.0.0.1 alone; unset it, or run the "
                "services apart (only the relay can be opened, with --host)"
            )
    return found


def check_plaintext(host: str, port: int) -> None:
    """Hold the clients' address against the rule for plaintext. Raises OperatorError."""
    listen = Listen(host, port)
    allowed = os.environ.get("TRUNKLINE_ALLOW_PLAINTEXT", "").lower() in ("1", "true", "yes", "on")
    if plaintext_fault(listen, loopback=listen.loopback, secured=False, allowed=allowed):
        raise OperatorError(
            f"{listen} is not loopback, and clients' keys would travel on it in the clear: put a front before it that speaks "
            "TLS, and set TRUNKLINE_ALLOW_PLAINTEXT=true"
        )
