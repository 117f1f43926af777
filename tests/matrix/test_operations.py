"""Every request that is no conversation, to every kind of upstream.

Law: what an upstream takes goes up with nothing changed but the model's name, and its answer and its errors come back as they
are; what it does not take is refused in a sentence, before anything is sent.
"""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from tests.integration.relay_svc.routers import candidate
from tests.integration.relay_svc.upstreams import Call, Upstream, response
from tests.matrix.conftest import MODEL, Scene
from tests.matrix.operations import AS_IT_IS, CASES, PROVIDERS, REQUESTS, WRITTEN_ANEW, fate
from trunkline.v1 import router_pb2 as pb

ANSWER: dict[str, Any] = {"results": [], "data": []}
TOO_MUCH = {"error": {"message": "it is too long", "type": "invalid_request_error", "code": "context_length_exceeded"}}


async def answers(call: Call) -> None:
    """Answer, or say that it is too much to whoever wants that."""
    wrong = b"too much" in call.body
    await call.send(response(400 if wrong else 200, json.dumps(TOO_MUCH if wrong else ANSWER).encode()))


async def ask(http: httpx2.AsyncClient, endpoint: str, words: str) -> httpx2.Response:
    """Send a request that says these words."""
    path, body = REQUESTS[endpoint]
    if body is None:
        form: dict[str, Any] = {"files": {"file": ("a.wav", b"RIFF")}, "data": {"model": MODEL, "prompt": words}}
        return await http.post(path, **form)
    text = json.dumps(body).replace('"x"', json.dumps(words))
    if words not in text:
        text = text.replace("[]", f'["{words}"]')
    return await http.post(path, content=text.encode(), headers={"content-type": "application/json"})


@pytest.mark.parametrize(("endpoint", "provider"), CASES, ids=[f"{one}-on-{other}" for one, other in CASES])
async def test_a_request_goes_where_it_is_taken(scene: Scene, endpoint: str, provider: str) -> None:
    """And nowhere else."""
    about = PROVIDERS[provider]
    async with Upstream(answers).serving() as upstream, scene.bench.relay.http() as http:
        url = upstream.base_url.removesuffix("/v1") + about.get("path", "")
        shaping = pb.Shaping(provider_options=about.get("options", {}))
        fields: dict[str, Any] = {"provider": provider, "upstream_model": "u", "shaping": shaping}
        scene.bench.router.plans[MODEL] = [candidate(1, url, **fields)]
        came = await ask(http, endpoint, "x")
        expected = fate(endpoint, provider)
        if expected == "refused":
            assert came.status_code == 400
            assert "offers" in came.text
            assert not upstream.calls
            return
        assert came.status_code == 200, came.text
        refused = await ask(http, endpoint, "too much")
        assert (refused.status_code, "it is too long" in refused.text) == (400, True)
    assert [call.line.split(" ")[1] for call in upstream.calls] == [
        (AS_IT_IS if expected == "as it is" else WRITTEN_ANEW)[provider][endpoint]
    ] * 2
    if expected == "as it is":
        assert came.json() == ANSWER
        _check_body(upstream.calls[0], endpoint)


def _check_body(call: Call, endpoint: str) -> None:
    body = REQUESTS[endpoint][1]
    if body is None:
        assert b'name="model"\r\n\r\nu\r\n' in call.body
        return
    expected = {**body, "model": "u"} if "model" in body else body
    sent = json.loads(call.body)
    assert sent == expected if "requests" not in body else sent.keys() == expected.keys()
