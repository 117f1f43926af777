"""The relay: takes a client's HTTP request, asks a router for a plan, and streams the answer back."""

import trunkline  # noqa: F401 - first of all: what gRPC reads when it is imported is set there
