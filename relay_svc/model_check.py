"""Checks the models that a request names beside the one that it is routed by.

Law: a key that may not use a model may not name it, wherever; and what goes up as the client wrote it goes to a channel only
if that channel serves this key those models, under those names. Otherwise a name would go around allow-lists, routes, mapped
names and prices. Whoever names no model besides pays nothing for this.
"""

import msgspec

from relay_svc import errors
from relay_svc.inbound import Inbound
from relay_svc.named_models import MOST_NAMED
from relay_svc.outbound import NamedBeside, Passed, Way, way_of
from relay_svc.plan import Asked, Candidate, PickRefused, Routers
from relay_svc.providers import Adapter
from trunkline.errors import Reason

_NOT_HERE = frozenset({Reason.NO_CHANNEL, Reason.MODEL_UNKNOWN, Reason.MODEL_NOT_IN_GROUP, Reason.MODEL_NOT_ALLOWED})
"""Refusals that say of one channel that it does not serve a model."""


async def check_named(routers: Routers, asked: Asked, inbound: Inbound, deadline: float) -> None:
    """Refuse a request that names what its key may not use, or what cannot be looked into. Raises HttpRefusal, NoPlan."""
    for named in inbound.beside:
        if not named.model:
            raise errors.model_unchecked(named.member)
    if len(inbound.beside) > MOST_NAMED:
        raise errors.model_unchecked(inbound.beside[0].member)
    for model, member in {named.model: named.member for named in inbound.beside}.items():
        if model == inbound.model:
            continue
        try:
            await routers.pick(msgspec.structs.replace(asked, model=model, max_candidates=1), deadline)
        except PickRefused as refused:
            if refused.reason is Reason.NO_CHANNEL:
                continue  # it may be used, though by no channel now
            refusal = errors.of_pick(refused)
            if refusal.param == "model":
                refusal.param = member
            raise refusal from None


async def passed_for_names(
    routers: Routers, asked: Asked, candidate: Candidate, inbound: Inbound, deadline: float
) -> Passed | None:
    """Tell why a candidate is not asked that would be sent these names. Raises NoPlan."""
    way = way_of(candidate, inbound)
    if not isinstance(way, Way) or way.translates or way.call.adapter is not Adapter.NONE:
        return None  # they do not go up
    for named in inbound.beside:
        if named.model == candidate.upstream_model:
            continue
        one = msgspec.structs.replace(
            asked, model=named.model, max_candidates=1, channel_id=candidate.channel_id, excluded=()
        )
        try:
            served = (await routers.pick(one, deadline)).candidates[0]
        except PickRefused as refused:
            if refused.reason not in _NOT_HERE:
                raise
            return Passed(NamedBeside(named.member))
        if (served.channel_id, served.upstream_model) != (candidate.channel_id, named.model):
            return Passed(NamedBeside(named.member))
    return None
