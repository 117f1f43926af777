"""The admin's Prometheus metrics."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

MUTATIONS = Counter(
    "trunkline_admin_mutations_total",
    "Changes asked for, by method and outcome (`OK` or a reason).",
    ["method", "outcome"],
)
DATABASE_FAULTS = Counter(
    "trunkline_admin_database_faults_total",
    "Database errors that ended a call, by cause: `exhausted` (the pool), `unreachable`, `lost`, `slow`, `locked`, …",
    ["cause"],
)
COMMIT_SECONDS = Histogram(
    "trunkline_admin_commit_seconds",
    "Time from a change asked for to its commit, queueing included.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
PROPAGATION_SECONDS = Histogram(
    "trunkline_admin_propagation_seconds",
    "Time from a commit of this admin to a router saying that the change is in force there.",
    ["router"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
ROUTERS = Gauge(
    "trunkline_admin_routers", "Routers: with a live lease, with a stream from here, and live but behind.", ["state"]
)
HEAD_REVISION = Gauge("trunkline_admin_head_revision", "The newest revision this admin knows of.")
FOLLOW_FAILURES = Counter("trunkline_admin_follow_failures_total", "Reads of the head and the leases that failed.")
STREAM_FAILURES = Counter(
    "trunkline_admin_stream_failures_total", "Streams to a router that broke or could not be opened."
)
HISTORY_PRUNED = Counter("trunkline_admin_history_pruned_total", "Rows of history forgotten, by kind.", ["kind"])
CATALOG_FAULTS = Gauge(
    "trunkline_admin_catalog_faults",
    "Places where head, stamps or tombstones are not what the rows are, as last checked.",
)
CATALOG_REPAIRS = Counter("trunkline_admin_catalog_repairs_total", "Times that this admin made them true again.")
