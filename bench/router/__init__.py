"""The router alone: what a pick, a change and a load cost, and how that grows. `python -m bench.router [part …]`."""
