"""The router's row in `routers`: the one thing that it writes, and how it learns of its peers and of the time.

The law: the row lives by the database's clock and is renewed in one statement; `follower` decides when, and when it no longer
counts here. Nobody takes the row of an id while another incarnation lives in it: two routers would count as one. On a drain
the row goes at once, so that nobody waits for this router.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from router_svc.follower import LEASE, State
from router_svc.line import Connection
from router_svc.snapshot import Token

_RENEW: Final = """
INSERT INTO routers (
    id, address, incarnation, applied_revision, applied_chain, state, version, expire_time
) VALUES (
    %(id)s, %(address)s, %(incarnation)s, %(revision)s, decode(%(chain)s, 'hex'), %(state)s, %(version)s,
    now() + %(seconds)s * interval '1 second'
) ON CONFLICT (id) DO UPDATE SET
    address = excluded.address,
    incarnation = excluded.incarnation,
    applied_revision = excluded.applied_revision,
    applied_chain = excluded.applied_chain,
    state = excluded.state,
    version = excluded.version,
    expire_time = excluded.expire_time,
    start_time = CASE WHEN routers.incarnation = excluded.incarnation THEN routers.start_time ELSE now() END
WHERE routers.incarnation = excluded.incarnation OR routers.expire_time <= now()
    -- Longer than any lease lasts: the clock went back since, and nobody can be kept out for as long as that.
    OR routers.expire_time > excluded.expire_time
RETURNING id
"""
_HOLDER: Final = "SELECT id, address, incarnation FROM routers WHERE id = %s AND incarnation <> %s"
_PEERS: Final = "SELECT id, address, state FROM routers WHERE expire_time > now() ORDER BY id LIMIT 1000"
_TIME: Final = "SELECT extract(EPOCH FROM clock_timestamp())::float8"
_LEAVE: Final = "DELETE FROM routers WHERE id = %s AND incarnation = %s"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this router is."""

    id: str
    incarnation: str
    version: str


class Peer(NamedTuple):
    """A router with a live lease."""

    id: str
    address: str
    state: str


class Holder(NamedTuple):
    """The router that lives in the row of an id."""

    id: str
    address: str
    incarnation: str


class Renewed(NamedTuple):
    """What a renewal brought."""

    granted: bool
    """False while another incarnation lives under the id."""
    holder: Holder | None
    """That other one, as far as it can still be seen."""
    peers: list[Peer]
    time: float
    """By the database's clock, in seconds since the epoch."""


async def renew(connection: Connection, who: Identity, address: str, applied: Token, state: State) -> Renewed:
    """Write the lease, and read who else has one and what time it is, in one round trip."""
    values = {
        "id": who.id,
        "address": address,
        "incarnation": who.incarnation,
        "version": who.version,
        "revision": applied.revision,
        "chain": applied.chain,
        "state": state.value,
        "seconds": LEASE,
    }
    async with connection.pipeline():
        written = await connection.execute(_RENEW, values)
        holder = await connection.execute(_HOLDER, (who.id, who.incarnation))
        peers = await connection.execute(_PEERS)
        time = await connection.execute(_TIME)
        granted = await written.fetchone() is not None
        held_by = await holder.fetchone()
        return Renewed(
            granted,
            Holder(*held_by) if held_by is not None and not granted else None,
            [Peer(*row) for row in await peers.fetchall()],
            (await time.fetchall())[0][0],
        )


async def leave(connection: Connection, who: Identity) -> None:
    """Give the lease back."""
    await connection.execute(_LEAVE, (who.id, who.incarnation))
