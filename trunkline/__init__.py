"""What two rooms or more need: stubs, errors, settings, secrets, the database pool, serving and telemetry."""

import os
from importlib.metadata import version

__version__ = version("trunkline")

# gRPC reads it when it is imported, so every service imports this package first: docs/decisions/0004-grpc-polls-for-itself.md
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")  # noqa: TID251 - set, not read
