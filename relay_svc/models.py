"""`GET /v1/models` and `GET /v1/models/{id}`: what this key may use, as each family's clients read it.

The law: the router decides. A model declared as a wildcard is none that a client could name, so it is not listed;
asking for one model by name finds it through its wildcard.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from relay_svc import errors, record
from relay_svc.endpoints import in_query
from relay_svc.exchange import Exchange
from relay_svc.operations import Format
from relay_svc.plan import Model, Routers
from relay_svc.record import Record, now
from trunkline.secret import Secret

_WILDCARD = "*"
_PREFIX: Final = "models/"
"""Before Gemini's names."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list; `more` says that it goes on in the direction it is read in."""

    models: Sequence[Model]
    more: bool = False


def _all(models: Sequence[Model], _query: bytes) -> Page:
    """Give all of it: OpenAI's lists have no pages."""
    return Page(models)


def _anthropics(models: Sequence[Model], query: bytes) -> Page:
    """Give the page that `limit`, `after_id` and `before_id` ask for; all without a limit. Raises HttpRefusal."""
    limit = _size(query, "limit", len(models))
    before = in_query(query, "before_id")
    if before:
        models = models[: _place(models, before, "before_id")]
        return Page(models[max(0, len(models) - limit) :], len(models) > limit)
    return _from(models, in_query(query, "after_id"), limit, "after_id")


def _googles(models: Sequence[Model], query: bytes) -> Page:
    """Give the page that `pageSize` and `pageToken` ask for; all without a size. Raises HttpRefusal."""
    return _from(models, in_query(query, "pageToken"), _size(query, "pageSize", len(models)), "pageToken")


def _from(models: Sequence[Model], after: str, limit: int, param: str) -> Page:
    start = _place(models, after, param) + 1 if after else 0
    return Page(models[start : start + limit], len(models) > start + limit)


def _size(query: bytes, name: str, most: int) -> int:
    text = in_query(query, name)
    if not text or text == "0":
        return max(1, most)
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_SIZE):
        raise errors.bad_body(f"{name} must be a whole number", name)
    return int(text)


def _place(models: Sequence[Model], name: str, param: str) -> int:
    place = next((place for place, model in enumerate(models) if model.name == name), None)
    if place is None:
        raise errors.bad_body(f"{param} is no model of this list", param)
    return place


_LONGEST_SIZE: Final = 6
"""Digits of the largest page."""
_PAGED: Final = {Format.ANTHROPIC: _anthropics, Format.GEMINI: _googles}


class ModelList:
    """Serves the models."""

    def __init__(self, routers: Routers, time_limit: float) -> None:
        """Take the routers, and the longest wait for them in seconds."""
        self._routers, self._time_limit = routers, time_limit

    async def serve(self, exchange: Exchange, noted: Record, api_key: Secret, wanted: str, written: Format) -> None:
        """List the models, or show the one wanted. Raises HttpRefusal, NoPlan."""
        noted.body_end = now()
        deadline = asyncio.get_running_loop().time() + self._time_limit
        listed = await self._routers.models(api_key, noted.client_address, deadline)
        wanted = wanted.removeprefix(_PREFIX)
        if wanted:
            model = _find(listed.models, wanted)
            if model is None:
                raise errors.no_such_model(wanted)
            body = _SHOWN.get(written, _openai)(wanted, model)
        else:
            plain = [model for model in listed.models if not model.name.endswith(_WILDCARD)]
            page = _PAGED.get(written, _all)(plain, exchange.query)
            shown = [_SHOWN.get(written, _openai)(model.name, model) for model in page.models]
            body = _LISTED.get(written, _openai_list)(shown, page)
        headers = noted.headers(noted.begin_answer())
        headers += [(b"content-type", b"application/json"), (b"x-trunkline-revision", b"%d" % listed.revision)]
        noted.outcome = record.SERVED
        await exchange.answer(200, headers, b"" if exchange.method == "HEAD" else msgspec.json.encode(body))


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


def _openai(name: str, model: Model) -> dict[str, Any]:
    # `created` is required by OpenAI's shape and known to nobody here.
    return {"id": name, "object": "model", "created": 0, "owned_by": ",".join(model.providers) or "trunkline"}


def _anthropic(name: str, _model: Model) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}


def _gemini(name: str, _model: Model) -> dict[str, Any]:
    methods = ["generateContent", "streamGenerateContent"]
    return {"name": _PREFIX + name, "displayName": name, "supportedGenerationMethods": methods}


def _openai_list(shown: list[dict[str, Any]], _page: Page) -> dict[str, Any]:
    return {"object": "list", "data": shown}


def _anthropic_list(shown: list[dict[str, Any]], page: Page) -> dict[str, Any]:
    first, last = (shown[0]["id"], shown[-1]["id"]) if shown else (None, None)
    return {"data": shown, "has_more": page.more, "first_id": first, "last_id": last}


def _gemini_list(shown: list[dict[str, Any]], page: Page) -> dict[str, Any]:
    return {"models": shown} | ({"nextPageToken": page.models[-1].name} if page.more else {})


_SHOWN: Final = {Format.ANTHROPIC: _anthropic, Format.GEMINI: _gemini}
_LISTED: Final = {Format.ANTHROPIC: _anthropic_list, Format.GEMINI: _gemini_list}
