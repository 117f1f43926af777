"""What tests of several rooms need: a real Postgres, free ports, waiting with a deadline, seeds that are printed."""

import trunkline  # noqa: F401 - before gRPC, as every service does
