"""What this room takes from the environment: where data goes by default, and what children inherit.

Law: settings of the services pass through `trunkline up` untouched, except those it decides itself.
"""

from __future__ import annotations

import os
from pathlib import Path

_DECIDED_HERE = frozenset(
    {
        "TRUNKLINE_DSN",
        "TRUNKLINE_DIE_WITH_PARENT",
        "TRUNKLINE_ADMIN_LISTEN",
        "TRUNKLINE_ADMIN_HTTP_LISTEN",
        "TRUNKLINE_ROUTER_ADVERTISE",
        "TRUNKLINE_ROUTER_HTTP_LISTEN",
        "TRUNKLINE_ROUTER_ID",
        "TRUNKLINE_ROUTER_LISTEN",
        "TRUNKLINE_ROUTER_SNAPSHOT_DIR",
        "TRUNKLINE_RELAY_LISTEN",
        "TRUNKLINE_RELAY_ROUTERS",
    }
)
_SECRETS = (
    "TRUNKLINE_ADMIN_TOKEN",
    "TRUNKLINE_SERVICE_TOKEN",
    "TRUNKLINE_PEPPER",
    "TRUNKLINE_ENCRYPTION_KEYS",
)


def default_data_directory() -> Path:
    """`/var/lib/trunkline` as root, else `$XDG_DATA_HOME/trunkline` (`~/.local/share/trunkline`)."""
    if os.geteuid() == 0:
        return Path("/var/lib/trunkline")
    home = os.environ.get("XDG_DATA_HOME", "")
    # The specification has relative paths ignored.
    base = Path(home) if home.startswith("/") else Path.home() / ".local" / "share"
    return base / "trunkline"


def inherited_environment() -> dict[str, str]:
    """The environment for children: ours, without what is decided here and without libpq's own names.

    PGHOSTADDR or PGOPTIONS of whoever types would change where and how every child connects.
    """
    dropped = {*_DECIDED_HERE, *_SECRETS, *(f"{name}_FILE" for name in _SECRETS)}
    return {name: value for name, value in os.environ.items() if name not in dropped and not name.startswith("PG")}
