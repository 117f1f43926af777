"""Every request that is no conversation, to every kind of upstream.

Law: what an upstream takes goes up with nothing changed but the model's name, and its answer and its errors come back as they
are; what it takes in another form is written anew, and so is its answer; what it does not take is refused in a sentence,
before anything is sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx2
import pytest

from tests.integration.relay_svc.routers import candidate
from tests.integration.relay_svc.upstreams import Call, Script, Upstream, response
from tests.matrix.conftest import MODEL, Scene
from tests.matrix.operations import AS_IT_IS, CASES, PROVIDERS, REQUESTS, WRITTEN_ANEW, fate
from trunkline.v1 import router_pb2 as pb

ANSWER: dict[str, Any] = {"results": [], "data": []}
TOO_MUCH = {"error": {"message": "it is too long", "type": "invalid_request_error", "code": "context_length_exceeded"}}


def says(answer: Mapping[str, Any]) -> Script:
    """Answer this, or that it is too much to whoever wants that."""

    async def script(call: Call) -> None:
        wrong = b"too much" in call.body
        await call.send(response(400 if wrong else 200, json.dumps(TOO_MUCH if wrong else answer).encode()))

    return script


async def ask(http: httpx2.AsyncClient, endpoint: str, words: str) -> httpx2.Response:
    """Send a request that says these words."""
    path, body = REQUESTS[endpoint]
    if body is None:
        form: dict[str, Any] = {"files": {"file": ("a.wav", b"RIFF")}, "data": {"model": MODEL, "prompt": words}}
        return await http.post(path, **form)
    text = json.dumps(body).replace('"x"', json.dumps(words))
    return await http.post(path, content=text.encode(), headers={"content-type": "application/json"})


@pytest.mark.parametrize(("endpoint", "provider"), CASES, ids=[f"{one}-on-{other}" for one, other in CASES])
async def test_a_request_goes_where_it_is_taken(scene: Scene, endpoint: str, provider: str) -> None:
    """And nowhere else."""
    about, anew = PROVIDERS[provider], WRITTEN_ANEW.get(provider, {}).get(endpoint)
    async with (
        Upstream(says(anew.answered if anew else ANSWER)).serving() as upstream,
        scene.bench.relay.http() as http,
    ):
        url = upstream.base_url.removesuffix("/v1") + about.get("path", "")
        shaping = pb.Shaping(provider_options=about.get("options", {}))
        fields: dict[str, Any] = {"provider": provider, "upstream_model": "u", "shaping": shaping}
        scene.bench.router.plans[MODEL] = [candidate(1, url, **fields)]
        came = await ask(http, endpoint, "x")
        if fate(endpoint, provider) == "refused":
            assert came.status_code == 400
            assert "offers" in came.text
            assert not upstream.calls
            return
        assert came.status_code == 200, came.text
        refused = await ask(http, endpoint, "too much")
        assert (refused.status_code, "it is too long" in refused.text) == (400, True)
    path = anew.path if anew else AS_IT_IS[provider][endpoint]
    assert [call.line.split(" ")[1] for call in upstream.calls] == [path] * 2
    assert came.json() == (anew.told if anew else ANSWER)
    if anew:
        assert json.loads(upstream.calls[0].body) == anew.sent
    else:
        _check_body(upstream.calls[0], endpoint)


def _check_body(call: Call, endpoint: str) -> None:
    body = REQUESTS[endpoint][1]
    if body is None:
        assert b'name="model"\r\n\r\nu\r\n' in call.body
        return
    sent = json.loads(json.dumps(body).replace('"models/m"', '"models/u"'))
    assert json.loads(call.body) == ({**sent, "model": "u"} if sent.get("model") == "m" else sent)
