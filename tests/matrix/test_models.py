"""What is asked of no upstream: which models there are, and runs that there are none of.

Law: every official SDK lists models and finds one, in its own types.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.matrix.clients import Anthropic, Google, OpenAiChat
from tests.matrix.conftest import MODEL, Scene
from tests.matrix.kinds import KINDS


@pytest.fixture
def listed(scene: Scene) -> Scene:
    """One model that is served."""
    scene.plan(KINDS[0])
    return scene


async def test_openais_sdk_lists_models_and_finds_one(listed: Scene) -> None:
    """By its id."""
    client = listed.clients["openai-chat"]
    assert isinstance(client, OpenAiChat)
    assert [model.id async for model in client.sdk.models.list()] == [MODEL]
    assert (await client.sdk.models.retrieve(MODEL)).object == "model"


async def test_anthropics_sdk_lists_models_and_finds_one(listed: Scene) -> None:
    """On the same paths."""
    client = listed.clients["anthropic"]
    assert isinstance(client, Anthropic)
    assert [model.id async for model in client.sdk.models.list()] == [MODEL]
    assert (await client.sdk.models.retrieve(MODEL)).type == "model"


async def test_googles_sdk_lists_models_and_finds_one(listed: Scene) -> None:
    """On its own paths."""
    client = listed.clients["google"]
    assert isinstance(client, Google)
    models: AsyncIterator[Any] = await client.sdk.aio.models.list()
    assert [model.name async for model in models] == [f"models/{MODEL}"]
    assert (await client.sdk.aio.models.get(model=MODEL)).name == f"models/{MODEL}"


async def test_a_run_that_nobody_started_is_not_found(listed: Scene) -> None:
    """In a sentence."""
    async with listed.bench.relay.http() as http:
        came = await http.get("/v1/workflows/runs/run_x")
    assert (came.status_code, bool(came.json()["error"]["message"])) == (404, True)
