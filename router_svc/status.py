"""Tells what this router holds, as a message."""

import time

from google.protobuf import timestamp_pb2

from router_svc import wire
from router_svc.cache import Cache
from router_svc.keyring import Keyring
from router_svc.snapshot import Quarantined, Snapshot
from trunkline.errors import Cause, NotReady
from trunkline.v1 import router_pb2


def status_message(
    cache: Cache, keyring: Keyring, start_time: float, *, cache_enabled: bool, reads: bool
) -> router_pb2.GetRouterStatusResponse:
    """Write the status; what is wrong with rows is put in words for those who may read the catalog.

    `start_time` is in seconds since the epoch. Raises NotReady before the router has an address.
    """
    presence = cache.presence
    if presence is None:
        raise NotReady
    peers = [
        router_pb2.GetRouterStatusResponse.Peer(
            router_id=peer.id,
            address=peer.address,
            # Our own row may be a renewal old.
            state=wire.state_message(cache.state if peer.id == presence.who.id else peer.state),
        )
        for peer in cache.peers
    ]
    started = timestamp_pb2.Timestamp()
    started.FromNanoseconds(round(start_time * 1e9))
    status = router_pb2.GetRouterStatusResponse(
        router_id=presence.who.id,
        incarnation=presence.who.incarnation,
        version=presence.who.version,
        state=wire.state_message(cache.state),
        snapshot_age=wire.duration_message(cache.trust().age),
        lease_left=wire.duration_message(cache.follower.lease_left(time.monotonic())),
        peers=peers,
        cache_enabled=cache_enabled,
        start_time=started,
        secrets_differing=cache.secrets.accord.differing,
        secrets_missing=cache.secrets.accord.missing,
    )
    if cache.unsound:
        status.catalog_fault = Cause.HEAD_UNSOUND
    if (holder := cache.holder) is not None:
        status.id_held_by = f"{holder.incarnation} at {holder.address}"
    if cache.follower.head is not None:
        status.head.CopyFrom(wire.token_message(cache.follower.head))
    if cache.snapshot is not None:
        _add_snapshot(status, cache.snapshot, keyring, reads=reads)
    return status


def _add_snapshot(
    status: router_pb2.GetRouterStatusResponse, snapshot: Snapshot, keyring: Keyring, *, reads: bool
) -> None:
    status.applied.CopyFrom(wire.token_message(snapshot.token))
    status.digest = str(snapshot.digest)
    status.channel_count = len(snapshot.channels)
    status.ability_count = snapshot.ability_count
    status.api_key_count = len(snapshot.api_keys)
    for cause, rows in (
        (Cause.ROW_UNREADABLE, snapshot.quarantine.values()),
        (Cause.KEY_NOT_OPENED, keyring.broken(snapshot)),
    ):
        status.quarantine.extend(_row_message(row, row.fault if reads else cause) for row in rows)


def _row_message(row: Quarantined, fault: str) -> router_pb2.QuarantinedRow:
    return router_pb2.QuarantinedRow(
        kind=row.kind, id=row.id, fault=fault, revision=row.revision, served_revision=row.served_revision
    )
