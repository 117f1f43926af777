"""Our translations of the same requests, and of the same answers, as plain JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgspec

from relay_svc.dialects import (
    CannotCarry,
    Dialect,
    DialectFault,
    Losses,
    StreamReader,
    Target,
    Translation,
    read_answer,
    read_request,
    stream_writer,
    write_answer,
    write_request,
)
from relay_svc.dialects.answer import Answer
from relay_svc.providers.claude import ways_of
from tests.unit.relay_svc.dialects.folding import fold
from tests.unit.relay_svc.dialects.samples import ANSWERS, STAMP, STREAMS

MODELS = {"chat": "m", "responses": "gpt-4.1", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-pro"}
"""The models asked: older ones than today's, which the other implementation knows too."""
_NAMES = {
    Dialect.OPENAI_CHAT: MODELS["chat"],
    Dialect.OPENAI_RESPONSES: MODELS["responses"],
    Dialect.ANTHROPIC: MODELS["anthropic"],
    Dialect.GEMINI: MODELS["gemini"],
}


@dataclass(frozen=True)
class Job:
    """One request of a client's for an upstream."""

    feature: str
    client: Dialect
    upstream: Dialect
    body: dict[str, Any]
    stream: bool = False

    def told(self) -> dict[str, Any]:
        """Tell it to the other implementation."""
        return {"client": self.client.value, "upstream": self.upstream.value, "body": self.body, "stream": self.stream}


def sent(job: Job) -> Any:
    """Give what the upstream is asked; a text where it is not."""
    losses, name = Losses(), _NAMES[job.upstream]
    ways = ways_of(name)
    target = Target(
        name, adaptive_thinking=ways.adaptive_thinking, sampling=ways.sampling, one_sampling=ways.one_sampling
    )
    try:
        request = read_request(job.client, json.dumps(job.body).encode(), losses, model=name)
        return json.loads(write_request(job.upstream, request, target, losses))
    except (CannotCarry, DialectFault) as refused:
        return f"refused: {refused}"


def answered(job: Job) -> Any:
    """Give what the client is told of the upstream's whole answer."""
    answer = read_answer(job.upstream, json.dumps(ANSWERS[job.upstream]).encode(), losses := Losses())
    assert isinstance(answer, Answer)
    return json.loads(write_answer(job.client, answer, STAMP, losses))


def streamed(job: Job) -> bytes:
    """Give the stream that the client is told."""
    losses = Losses()
    way = Translation(StreamReader(job.upstream, losses), stream_writer(job.client, STAMP, losses))
    return way.feed(STREAMS[job.upstream]) + way.end(clean=True)


def meaning(client: Dialect, stream: bytes) -> Any:
    """Read what a stream tells its client, with every delta put together; a text where it is none."""
    reader = StreamReader(client, Losses())
    try:
        return msgspec.to_builtins(fold([*reader.feed(stream), *reader.end(clean=True)]))
    except AssertionError as broken:
        return f"out of order: {broken}"
