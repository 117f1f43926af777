"""Whether a row that cannot be read, or a key that cannot be opened, may make a refusal wrong.

The law: "no channel" and its kind are not said while there is an enabled row that might be the one asked for and that nobody
can read, or an enabled channel whose key or proxy this router cannot open: others may have the secret that it lacks. So may
they have a pepper that is registered and missing here, by which the API key is hashed. A row
that says itself that it is off, or is of other groups and models, casts no doubt. What exactly is at fault is in the status
and in the log; a caller learns its kind alone.
"""

from collections.abc import Iterator

from router_svc.explain import groups_of
from router_svc.plan import Ask, caller_of
from router_svc.snapshot import Channel, Quarantined, Seal, Snapshot, covers
from trunkline.errors import (
    AddressNotAllowed,
    ApiKeyDisabled,
    ApiKeyExpired,
    ApiKeyUnknown,
    Cause,
    ModelNotAllowed,
    ModelNotInGroup,
    ModelUnknown,
    NoChannel,
    Refused,
    Unverified,
)
from trunkline.shared_secrets import IN_ACCORD, Accord

_OF_CHANNELS = (NoChannel, ModelUnknown, ModelNotInGroup)
_OF_THE_API_KEY = (ApiKeyDisabled, ApiKeyExpired, AddressNotAllowed, ModelNotAllowed)


def doubt(snapshot: Snapshot, ask: Ask, refusal: Refused) -> Quarantined | None:
    """Find a row in quarantine for which a refusal by this snapshot may be wrong."""
    return next(_doubts(snapshot, ask, refusal), None) if snapshot.quarantine else None


def sealed_doubt(snapshot: Snapshot, ask: Ask, refusal: Refused) -> Channel | None:
    """Find a channel that could serve, had its key or proxy been opened."""
    if not isinstance(refusal, NoChannel):
        return None
    for group in groups_of(snapshot, ask):
        routes = snapshot.routes.get(group)
        for _, route in routes.of(ask.model) if routes is not None else ():
            # Only channels that stand in a tier are on; without exclusions there is one only where a key is broken.
            for channel_id in (channel_id for tier in route.tiers for channel_id in tier):
                channel = snapshot.channels.get(channel_id)
                if channel is not None and _is_asked_for(ask, channel_id) and _is_sealed(channel):
                    return channel
    return None


def undoubted(snapshot: Snapshot, ask: Ask, refusal: Refused, accord: Accord = IN_ACCORD) -> Refused:
    """The refusal itself, or UNVERIFIED when something that cannot be read or opened may make it wrong."""
    revision = snapshot.token.revision
    if accord.pepper_missing and isinstance(refusal, ApiKeyUnknown):
        return Unverified(cause=Cause.SECRET_MISSING, revision=revision)
    if doubt(snapshot, ask, refusal) is not None:
        return Unverified(cause=Cause.ROW_UNREADABLE, revision=revision)
    if sealed_doubt(snapshot, ask, refusal) is not None:
        return Unverified(cause=Cause.KEY_NOT_OPENED, revision=revision)
    return refusal


def _is_asked_for(ask: Ask, channel_id: int) -> bool:
    return channel_id not in ask.excluded and ask.required in (0, channel_id)


def _is_sealed(channel: Channel) -> bool:
    proxy = channel.shaping.proxy
    return any(key.opened is Seal.BROKEN for key in channel.usable) or (
        proxy is not None and proxy.opened is Seal.BROKEN
    )


def _doubts(snapshot: Snapshot, ask: Ask, refusal: Refused) -> Iterator[Quarantined]:
    unread = (row for row in snapshot.quarantine.values() if not row.off)
    if isinstance(refusal, _OF_CHANNELS):
        groups = groups_of(snapshot, ask)
        yield from (row for row in unread if row.kind == "channel" and _may_serve(row, groups, ask.model))
    elif isinstance(refusal, ApiKeyUnknown):
        yield from (
            row for row in unread if row.kind == "api_key" and row.hash in (b"", ask.key_hash, ask.old_key_hash)
        )
    elif isinstance(refusal, _OF_THE_API_KEY) and ask.key_hash is not None:
        api_key = caller_of(snapshot, ask)
        yield from (row for row in unread if row.kind == "api_key" and api_key and row.id == str(api_key.id))


def _may_serve(row: Quarantined, groups: tuple[str, ...], model: str) -> bool:
    in_group = row.groups is None or not set(groups).isdisjoint(row.groups)
    return in_group and (row.models is None or any(covers(declared, model) for declared in row.models))
