"""What two rooms or more need: stubs, errors, settings, secrets, the database pool, serving and telemetry."""

from importlib.metadata import version

__version__ = version("trunkline")
