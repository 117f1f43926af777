"""Why there is no plan.

The law: pure, and asked only after the picker found none: to tell why costs more than a plan.
"""

from router_svc.plan import Ask, caller_of
from router_svc.snapshot import ApiKey, Snapshot
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
)


def refusal(snapshot: Snapshot, ask: Ask, now: float) -> Refused:
    """Tell why there is no plan for what `find` found none."""
    groups: tuple[str, ...] = (ask.group,)
    if ask.key_hash is not None:
        api_key = caller_of(snapshot, ask)
        if api_key is None:
            return ApiKeyUnknown(revision=snapshot.token.revision)
        if (refused := refused_by(snapshot, api_key, ask.model, ask.address, now)) is not None:
            return refused
        groups = api_key.groups
    return no_plan(snapshot, groups, ask.model)


def refused_by(snapshot: Snapshot, api_key: ApiKey, model: str | None, address: str, now: float) -> Refused | None:
    """Tell what the API key itself has against a request; None when nothing. Without a model its list is not asked."""
    revision = snapshot.token.revision
    if api_key.status != "ENABLED":
        return ApiKeyDisabled(api_key_id=api_key.id, revision=revision)
    if api_key.expire_time is not None and now >= api_key.expire_time:
        return ApiKeyExpired(api_key_id=api_key.id, expire_time=api_key.expire_time, revision=revision)
    if not api_key.allows_address(address):
        return AddressNotAllowed(api_key_id=api_key.id, address=address, revision=revision)
    if model is not None and not api_key.allows_model(model):
        return ModelNotAllowed(api_key_id=api_key.id, model=model, revision=revision)
    return None


def no_plan(snapshot: Snapshot, groups: tuple[str, ...], model: str) -> Refused:
    """Tell why none of these groups can serve a model."""
    revision = snapshot.token.revision
    considered = 0
    for group in groups:
        routes = snapshot.routes.get(group)
        considered += sum(route.count for _, route in routes.of(model)) if routes is not None else 0
    if considered:
        return NoChannel(group=",".join(groups), model=model, revision=revision, considered=considered)
    if any(next(routes.of(model), None) is not None for routes in snapshot.routes.values()):
        return ModelNotInGroup(group=",".join(groups), model=model, revision=revision)
    return ModelUnknown(model=model, revision=revision)
