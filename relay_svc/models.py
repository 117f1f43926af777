"""`GET /v1/models` and `GET /v1/models/{id}`: what this key may use, as OpenAI's clients read it.

The law: the router decides. A model declared as a wildcard is none that a client could name, so it is not listed;
asking for one model by name finds it through its wildcard.
"""

import asyncio
from collections.abc import Iterable

import msgspec

from relay_svc import errors, record
from relay_svc.exchange import Exchange
from relay_svc.plan import Model, Models, PickRefused, PicksOverloaded, Routers, RoutersUnreachable
from relay_svc.record import Record, now
from trunkline.secret import Secret

_WILDCARD = "*"


class ModelList:
    """Serves the models."""

    def __init__(self, routers: Routers, time_limit: float) -> None:
        """Take the routers, and the longest wait for them in seconds."""
        self._routers, self._time_limit = routers, time_limit

    async def serve(self, exchange: Exchange, noted: Record, api_key: Secret, wanted: str) -> None:
        """List the models, or show the one wanted. Raises HttpRefusal."""
        noted.body_end = now()
        listed = await self._models(api_key, noted.client_address)
        if wanted:
            model = _find(listed.models, wanted)
            if model is None:
                raise errors.no_such_model(wanted)
            body = _shown(wanted, model)
        else:
            plain = [_shown(model.name, model) for model in listed.models if not model.name.endswith(_WILDCARD)]
            body = {"object": "list", "data": plain}
        headers = noted.headers(noted.begin_answer())
        headers += [(b"content-type", b"application/json"), (b"x-trunkline-revision", b"%d" % listed.revision)]
        noted.outcome = record.SERVED
        await exchange.answer(200, headers, b"" if exchange.method == "HEAD" else msgspec.json.encode(body))

    async def _models(self, api_key: Secret, client_address: str) -> Models:
        deadline = asyncio.get_running_loop().time() + self._time_limit
        try:
            return await self._routers.models(api_key, client_address, deadline)
        except PickRefused as refused:
            raise errors.of_pick(refused) from None
        except RoutersUnreachable:
            raise errors.routers_unreachable() from None
        except PicksOverloaded:
            raise errors.overloaded("requests are waiting for a router") from None


def _find(models: Iterable[Model], wanted: str) -> Model | None:
    """Find a model by name, or through the longest wildcard that matches."""
    best: Model | None = None
    for model in models:
        if model.name == wanted:
            return model
        matches = model.name.endswith(_WILDCARD) and wanted.startswith(model.name[:-1])
        if matches and (best is None or len(model.name) > len(best.name)):
            best = model
    return best


def _shown(name: str, model: Model) -> dict[str, object]:
    # `created` is required by OpenAI's shape and known to nobody here.
    return {"id": name, "object": "model", "created": 0, "owned_by": ",".join(model.providers) or "trunkline"}
