"""Lists the models a caller may use: those with a channel that could serve now.

The law: a wildcard is listed as declared, unless the caller's allow-list is narrower; then the part that is allowed is. Long
catalogs are walked in steps, so that whoever waits can let others run.
"""

from collections.abc import Iterator

from router_svc.snapshot import WILDCARD, ApiKey, Snapshot, covers

STEP = 2_000
"""Abilities that one step looks at, or one model if that has more."""


def list_models(
    snapshot: Snapshot, groups: tuple[str, ...], api_key: ApiKey | None, into: dict[str, set[str]]
) -> Iterator[None]:
    """Put the usable model names with their providers into a dict, yielding between steps."""
    looked_at = 0
    for group in groups:
        routes = snapshot.routes.get(group)
        for declared, route in routes.items() if routes is not None else ():
            names = _allowed(declared, api_key)
            for tier in route.tiers if names else ():
                providers = {
                    channel.provider
                    for channel_id in tier
                    if (channel := snapshot.channels.get(channel_id)) is not None
                }
                for name in names:
                    into.setdefault(name, set()).update(providers)
            looked_at += route.count
            if looked_at >= STEP:
                looked_at = 0
                yield


def _allowed(declared: str, api_key: ApiKey | None) -> list[str]:
    """Give the names under which a declared model may be used."""
    if api_key is None or api_key.allows_model(declared):
        return [declared]
    if not declared.endswith(WILDCARD):
        return []
    return [allowed for allowed in api_key.models if covers(declared, allowed)]
