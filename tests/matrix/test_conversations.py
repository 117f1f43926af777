"""Every official SDK asks every kind of upstream for everything that a conversation may need.

Law: a client sees the same, whichever upstream answers and in whichever format, and the upstream sees what the client said.
What an upstream has not is lost by its name or refused, never left out in silence. `make test` runs a selection in which each
two of client, upstream and feature meet; `--whole` runs the product.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.matrix import golden
from tests.matrix.answers import TOKENS
from tests.matrix.clients import PARAMETERS, PNG, Asked, Call, Client, Said, Town
from tests.matrix.conftest import MODEL, Scene
from tests.matrix.kinds import CASES, Case
from tests.matrix.mock import CALLS_TEXT, CALLS_TOKENS

OSLO, ROME = Call("weather", {"city": "Oslo"}, "call_Oslo"), Call("weather", {"city": "Rome"}, "call_Rome")
ASKED = {
    "text": Asked(golden.HELLO),
    "stream": Asked(golden.HELLO, stream=True),
    "calls": Asked(golden.WEATHER, tools=True),
    "streamed-calls": Asked(golden.WEATHER, tools=True, stream=True),
    "results": Asked(golden.WEATHER, tools=True, results=((OSLO, "rain"), (ROME, "sun"))),
    "image": Asked(golden.PICTURE, image=True),
    "structured": Asked(golden.TOWN, schema=True),
    "error": Asked(golden.LIMITED),
}
SAID = {
    "text": Said(golden.TEXTS[golden.HELLO], tokens=TOKENS),
    "stream": Said(golden.TEXTS[golden.HELLO], tokens=TOKENS),
    "calls": Said(CALLS_TEXT, (OSLO, ROME), tokens=CALLS_TOKENS),
    "streamed-calls": Said(CALLS_TEXT, (OSLO, ROME), tokens=CALLS_TOKENS),
    "results": Said(golden.CAME, tokens=TOKENS),
    "image": Said(golden.TEXTS[golden.PICTURE], tokens=TOKENS),
    "structured": Said(golden.TEXTS[golden.TOWN], town=Town(city="Oslo"), tokens=TOKENS),
}


LOST = {
    "calls": ["tools"],
    "streamed-calls": ["tools"],
    "results": ["messages", "tools"],
    "image": ["messages"],
    "structured": ["response_format"],
}
"""What is lost where an upstream has not what a feature needs."""


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case.name, marks=[pytest.mark.whole] if case.whole_only else []) for case in CASES],
)
@pytest.mark.filterwarnings("ignore:FUNCTION_CALL is not a valid FinishReason")  # a word of the mock's own
async def test_a_client_is_served_by_any_upstream(scene: Scene, case: Case) -> None:
    """In the SDK's own words: text, pieces, calls, parsed values, exceptions."""
    scene.plan(case.kind)
    client, fate = scene.clients[case.client], case.kind.fate(case.client, case.feature)
    if fate == "refused":
        assert await _status(client, ASKED[case.feature]) == 400
        assert not scene.golden.seen
    elif case.feature == "error":
        for words, status in ((golden.LIMITED, 429), (golden.WRONG, 400)):
            assert await _status(client, Asked(words)) == status
    elif case.kind.runs:
        await _starts(client, case.feature)
    else:
        said = await client.ask(MODEL, ASKED[case.feature])
        if fate == "lost":
            assert (said.text, said.calls) == (golden.TEXTS[ASKED[case.feature].words], ())
        else:
            _check_said(said, case)
            if not case.kind.mock:
                _check_seen(scene, case)
    if case.feature != "error" and fate != "refused":
        lost = {name.strip() for name in scene.heads[-1].get("x-trunkline-lost", "").split(",") if name}
        assert lost == {*case.kind.loses, *(LOST[case.feature] if fate == "lost" else [])}


async def _starts(client: Client, feature: str) -> None:
    """The answer is the id of a run that goes on, whatever was asked; the SDK cannot parse it into anything else."""
    if feature == "structured":
        with pytest.raises(ValueError, match="execute_id"):
            await client.ask(MODEL, ASKED[feature])
    else:
        assert json.loads((await client.ask(MODEL, ASKED[feature])).text)["execute_id"]


async def _status(client: Client, asked: Asked) -> int:
    """The status of an error of the SDK's own kind."""
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whichever it is, the client tells whether it is its own
        await client.ask(MODEL, asked)
    return client.status_of(raised.value)


def _check_said(said: Said, case: Case) -> None:
    assert replace(said, pieces=1) == SAID[case.feature]
    if case.feature == "stream":
        assert said.pieces > 1


def _check_seen(scene: Scene, case: Case) -> None:
    """The upstream was asked once, in its own format, for all that the client wanted."""
    (seen,) = scene.golden.seen
    asked = ASKED[case.feature]
    assert seen.dialect == case.kind.spoken_to(case.client)
    assert (seen.model, seen.words, seen.images) == (
        case.kind.model,
        asked.words,
        [("image/png", PNG)] if asked.image else [],
    )
    assert seen.tools == ([("weather", PARAMETERS)] if asked.tools else [])
    assert seen.results == [(call.arguments["city"], came) for call, came in asked.results]
    assert (seen.schema is not None) is asked.schema
    if seen.schema is not None:
        assert seen.schema["properties"]["city"]["enum"] == ["Oslo", "Rome"]
        assert seen.schema["required"] == ["city"]
