"""Tells of a refusal whether a row that cannot be read may make it wrong.

The law: "no channel" and its kind are not said while there is an enabled row that might be the one asked for and that nobody
can read. A row that says itself that it is off, or is of other groups and models, casts no doubt.
"""

from collections.abc import Iterator

from router_svc.explain import groups_of
from router_svc.plan import Ask
from router_svc.snapshot import Quarantined, Snapshot, covers
from trunkline.errors import (
    AddressNotAllowed,
    ApiKeyDisabled,
    ApiKeyExpired,
    ApiKeyUnknown,
    ModelNotAllowed,
    ModelNotInGroup,
    ModelUnknown,
    NoChannel,
    Refused,
    Unverified,
)

_OF_CHANNELS = (NoChannel, ModelUnknown, ModelNotInGroup)
_OF_THE_API_KEY = (ApiKeyDisabled, ApiKeyExpired, AddressNotAllowed, ModelNotAllowed)


def doubt(snapshot: Snapshot, ask: Ask, refusal: Refused) -> Quarantined | None:
    """Find a row in quarantine for which a refusal by this snapshot may be wrong."""
    return next(_doubts(snapshot, ask, refusal), None) if snapshot.quarantine else None


def undoubted(snapshot: Snapshot, ask: Ask, refusal: Refused) -> Refused:
    """Give the refusal itself, or UNVERIFIED when a row that cannot be read may make it wrong."""
    row = doubt(snapshot, ask, refusal)
    if row is None:
        return refusal
    return Unverified(cause=f"{row.kind} {row.id} cannot be read: {row.fault}", revision=snapshot.token.revision)


def _doubts(snapshot: Snapshot, ask: Ask, refusal: Refused) -> Iterator[Quarantined]:
    unread = (row for row in snapshot.quarantine.values() if not row.off)
    if isinstance(refusal, _OF_CHANNELS):
        groups = groups_of(snapshot, ask)
        yield from (row for row in unread if row.kind == "channel" and _may_serve(row, groups, ask.model))
    elif isinstance(refusal, ApiKeyUnknown):
        yield from (row for row in unread if row.kind == "api_key" and row.hash in (b"", ask.key_hash))
    elif isinstance(refusal, _OF_THE_API_KEY) and ask.key_hash is not None:
        api_key = snapshot.api_keys_by_hash.get(ask.key_hash)
        yield from (row for row in unread if row.kind == "api_key" and api_key and row.id == str(api_key.id))


def _may_serve(row: Quarantined, groups: tuple[str, ...], model: str) -> bool:
    in_group = row.groups is None or not set(groups).isdisjoint(row.groups)
    return in_group and (row.models is None or any(covers(declared, model) for declared in row.models))
