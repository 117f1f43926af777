"""The admin: changes the catalog in one transaction and tells every router."""

import trunkline  # noqa: F401 - first of all: what gRPC reads when it is imported is set there
