"""`python -m admin_svc`: the admin service, configured by its environment."""

from __future__ import annotations

import sys

from admin_svc.assembly import serve
from admin_svc.settings import Settings
from trunkline.failpoints import arm
from trunkline.serving import run
from trunkline.settings import read_or_exit
from trunkline.telemetry import configure


def main() -> int:
    """Run the service; returns its exit status."""
    settings = read_or_exit(Settings)
    configure("admin", settings.level, settings.log_format)
    arm(settings.failpoints)
    return run(lambda stop: serve(settings, stop, lambda _running: None), die_with_parent=settings.die_with_parent)


if __name__ == "__main__":
    sys.exit(main())
