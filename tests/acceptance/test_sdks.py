"""What users of every official SDK get of a real LLM server, in each of the formats that it serves itself.

Law: nothing here is scripted but the question. The server enforces a JSON schema in its chat format alone, so structured
output is asked for there. A model so small calls no tool, and the server does not make it: tools are given, and what comes
of it is an answer in words.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from tests.acceptance.stack import Stack, unique
from tests.matrix.clients import CLIENTS, Asked, Client, clients

HELLO = Asked("Tell me a long story.", most=8)
KINDS: Mapping[str, Mapping[str, Any]] = {
    "chat": {},
    "responses": {"provider": "openai", "provider_options": {"api": "responses"}},
    "messages": {"provider": "anthropic"},
}
"""How a channel asks for each of the server's formats."""
every_client = pytest.mark.parametrize("client", CLIENTS)


@pytest.fixture(scope="module")
async def sdks(stack: Stack) -> AsyncIterator[Mapping[str, Client]]:
    """Every SDK, with an API key of its own."""
    async with clients(stack.relay, stack.api_key(), []) as opened:
        yield opened


@pytest.fixture(scope="module")
def served(stack: Stack, llm: str, model: str) -> Mapping[str, str]:
    """A model for each of the server's formats."""
    names = {kind: unique("model") for kind in KINDS}
    for kind, fields in KINDS.items():
        stack.channel(llm, names[kind], model_mapping={names[kind]: model}, **fields)
    return names


@every_client
@pytest.mark.parametrize("kind", KINDS)
async def test_a_model_answers_every_client_in_each_of_its_formats(
    sdks: Mapping[str, Client], served: Mapping[str, str], client: str, kind: str
) -> None:
    """In pieces where they are asked for, with the server's own count of tokens."""
    # Each client and each format streams and is whole at least once. The server's own stream of responses lacks the indices
    # that OpenAI's SDK reads, so that client is not shown it: its channel would be of provider llama-cpp, asked for chat.
    stream = (CLIENTS.index(client) + list(KINDS).index(kind)) % 2 == 1
    asked = Asked(HELLO.words, most=HELLO.most, stream=stream)
    said = await sdks[client].ask(served[kind], asked)
    assert said.text
    assert said.tokens[0] > 0
    assert 0 < said.tokens[1] <= HELLO.most
    assert said.pieces > 1 or not stream


@every_client
async def test_a_schema_is_kept_to(sdks: Mapping[str, Client], served: Mapping[str, str], client: str) -> None:
    """The SDK parses what the model was made to write."""
    said = await sdks[client].ask(served["chat"], Asked("Name a town.", schema=True, most=60))
    assert said.town is not None


@every_client
async def test_tools_are_taken_and_need_not_be_called(
    sdks: Mapping[str, Client], served: Mapping[str, str], client: str
) -> None:
    """The answer is one in words."""
    said = await sdks[client].ask(served["chat"], Asked(HELLO.words, tools=True, most=HELLO.most))
    assert (bool(said.text), said.calls) == (True, ())


@every_client
@pytest.mark.parametrize("kind", KINDS)
async def test_what_the_server_refuses_is_an_exception_of_the_sdks_own(
    sdks: Mapping[str, Client], served: Mapping[str, str], client: str, kind: str
) -> None:
    """A prompt that is too long, told by the server's status and in the client's envelope."""
    with pytest.raises(Exception, match="exceeds the available context size") as raised:
        await sdks[client].ask(served[kind], Asked("word " * 5000))
    assert sdks[client].status_of(raised.value) == 400
