"""What tests of several rooms need: a real Postgres, free ports, waiting with a deadline, seeds that are printed."""
