"""Measurements. Nothing here is a test; every figure in `docs/performance.md` names the command that made it."""
