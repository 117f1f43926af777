"""Everything that is broken on purpose, by name.

The law: a fault puts right what it broke before it returns, whatever happens meanwhile, and tells which routers could not
help being unavailable.
"""

from __future__ import annotations

from typing import Final

from prove import faults_of_postgres as postgres
from prove import faults_of_processes as processes
from prove import faults_of_secrets as secrets
from prove import faults_of_the_catalog as catalog
from prove import faults_of_the_network as network
from prove.proxy import Mode
from prove.scene import Fault

FAULTS: Final = {
    fault.name: fault
    for fault in (
        Fault("admin killed before its commit", processes.admin_at("admin.before_commit")),
        Fault("admin killed after its commit, before the stream", processes.admin_at("admin.after_commit")),
        Fault("admin killed in mid-broadcast", processes.admin_at("admin.mid_broadcast")),
        Fault("admin killed", processes.admin_killed),
        Fault("admin frozen", processes.admin_frozen),
        Fault("router killed", processes.router_killed),
        Fault("router frozen", processes.router_frozen),
        Fault("router frozen past its lease", processes.router_frozen_past_its_lease),
        Fault("wall clocks jump", processes.clocks_jump),
        Fault("disk of a router full", processes.disk_full),
        Fault("router started without a database", processes.cold_start_without_database),
        Fault("router lost with its disk", processes.router_lost),
        Fault("admin lost", processes.admin_lost),
        Fault("router with foreign secrets", secrets.router_with_foreign_secrets),
        Fault("encryption key rotated", secrets.encryption_key_rotated),
        Fault("bad rows planted", catalog.bad_rows_planted),
        Fault("head edited by hand", catalog.head_edited),
        Fault("sessions terminated", postgres.sessions_terminated),
        Fault("Postgres stopped", postgres.postgres_stopped),
        Fault("Postgres killed", postgres.postgres_killed),
        Fault("Postgres frozen", postgres.postgres_frozen),
        Fault("lagging standby promoted", postgres.standby_promoted),
        Fault("database way stalled", network.database_way(Mode.STALL, 3.0)),
        Fault("database way of one router stalled", network.database_way(Mode.STALL, 7.0, all_of_them=False)),
        Fault("database way trickling", network.database_way(Mode.TRICKLE, 4.0)),
        Fault("database way a black hole", network.database_way(Mode.BLACKHOLE, 4.0)),
        Fault("database way reset", network.database_way_reset),
        Fault("streams slow as across an ocean", network.streams(Mode.LATE, 6.0)),
        Fault("database way slow as across an ocean", network.database_way(Mode.LATE, 4.0)),
        Fault("streams stalled", network.streams(Mode.STALL, 3.0)),
        Fault("streams trickling", network.streams(Mode.TRICKLE, 3.0)),
        Fault("streams a black hole", network.streams(Mode.BLACKHOLE, 7.0)),
        Fault("streams reset", network.streams_reset),
    )
}
"""Every fault by its name."""
