"""One face for what stands before upstreams that speak no format of ours.

An adapter holds the body that goes up; then it is fed the upstream's answer and gives the client's bytes, as a `Watch` of
`answers` does. The law: pure. Bytes that come out mean that content has begun; a `failure` that is there before any has an
upstream's code and is a failure like others (`failover`), whatever the status was.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
from msgspec import structs

from relay_svc.answers import Ending
from relay_svc.dialects import Losses
from relay_svc.operations import Operation
from relay_svc.plan import NO_USAGE, Usage
from relay_svc.providers import counting, embeddings, rerank_form
from relay_svc.providers.call import Adapter, Call, Target
from relay_svc.providers.coze import calls, chat, workflow
from relay_svc.providers.coze.runs import Execution, RunIds, TooLong
from relay_svc.providers.coze.steps import UNREADABLE, BotReader, Done, Failed, Text, WorkflowReader, read_failure
from relay_svc.providers.coze.written import ChunkWriter, Collector, Stamp
from relay_svc.providers.faults import RunIncomplete

MAX_WHOLE: Final = 32 << 20
"""Most bytes of an answer that has to be read whole before any of it can be written."""
EVENTS: Final = b"text/event-stream"
JSON: Final = b"application/json"


@dataclass(frozen=True, slots=True)
class Asking:
    """What an adapter needs to know beside the body and the upstream."""

    stamp: Stamp
    channel_id: int
    api_key_id: int
    stream: bool = False
    include_usage: bool = False
    operation: Operation = Operation.CHAT
    """What the client asks."""
    run_ids: RunIds | None = None
    """What signs the ids of runs; without it none is started."""


class Adapted(Protocol):
    """A request behind an adapter, and its answer."""

    body: bytes
    """What goes up."""
    lost: tuple[str, ...]
    """Members of the request that the upstream has no place for."""
    content_type: bytes
    """Of the client's answer."""
    failure: Failed | None
    """What the upstream said went wrong."""

    def begin(self, content_type: bytes) -> None:
        """Learn how the answer is written."""
        ...

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes from the upstream; give those that go to the client now."""
        ...

    def end(self, *, clean: bool) -> Ending:
        """Judge the answer once it ended; `clean` says that HTTP's own framing was whole."""
        ...

    def usage(self) -> Usage:
        """Tell the tokens used."""
        ...


class Whole:
    """An answer that is read whole, and then written anew."""

    __slots__ = ("_parts", "_size", "_usage", "_write", "body", "content_type", "failure", "lost")

    def __init__(
        self,
        body: bytes,
        write: Callable[[bytes], tuple[bytes, Usage | None] | Failed],
        content_type: bytes = JSON,
        lost: tuple[str, ...] = (),
    ) -> None:
        """Take what goes up, and what writes the answer."""
        self.body, self.content_type, self.lost = body, content_type, lost
        self.failure: Failed | None = None
        self._write = write
        self._parts: list[bytes] = []
        self._size = 0
        self._usage = NO_USAGE

    def begin(self, content_type: bytes) -> None:
        """Nothing depends on it."""

    def feed(self, chunk: bytes) -> bytes:
        """Keep it, up to the bound."""
        self._size += len(chunk)
        if self._size <= MAX_WHOLE:
            self._parts.append(chunk)
        return b""

    def end(self, *, clean: bool) -> Ending:
        """Write the answer."""
        if not clean:
            return Ending(b"", whole=False)
        written = self._write(b"".join(self._parts)) if self._size <= MAX_WHOLE else UNREADABLE
        if isinstance(written, Failed):
            self.failure = written
            return Ending(b"", whole=True, told=True)
        body, used = written
        self._usage = used or NO_USAGE
        return Ending(body, whole=True)

    def usage(self) -> Usage:
        """Tell the tokens used."""
        return self._usage


class Streamed:
    """A stream of Coze's, for a client that wants one or for one that does not."""

    __slots__ = (
        "_begun",
        "_collector",
        "_envelope",
        "_events",
        "_reader",
        "_writer",
        "body",
        "content_type",
        "failure",
        "lost",
    )

    def __init__(self, body: bytes, lost: tuple[str, ...], reader: BotReader | WorkflowReader, asking: Asking) -> None:
        """Take what goes up, what reads the answer, and what the client wants."""
        self.body, self.lost = body, lost
        self.content_type = EVENTS if asking.stream else JSON
        self.failure: Failed | None = None
        self._reader = reader
        self._writer = ChunkWriter(asking.stamp, include_usage=asking.include_usage) if asking.stream else None
        self._collector = Collector(asking.stamp)
        self._events = True
        self._begun = False
        self._envelope = Whole(b"", read_failure)

    def begin(self, content_type: bytes) -> None:
        """Learn whether events come at all: an error comes as JSON, with status 200."""
        self._events = content_type.lower().startswith(EVENTS)

    def feed(self, chunk: bytes) -> bytes:
        """Give the chunks that are whole now; nothing for a client that wants no stream."""
        if not self._events:
            return self._envelope.feed(chunk)
        steps = self._reader.feed(chunk)
        self.failure = self.failure or next((step for step in steps if isinstance(step, Failed)), None)
        if self._writer is None:
            self._collector.take(steps)
            return b""
        if self.failure is not None and not self._begun:
            return b""  # nothing was shown, so another candidate may be
        written = self._writer.write(steps)
        self._begun = self._begun or bool(written)
        return written

    def end(self, *, clean: bool) -> Ending:
        """A stream is whole when Coze said that it was."""
        if not self._events:
            ending = self._envelope.end(clean=clean)
            self.failure = self._envelope.failure
            return ending
        if self._writer is not None:
            failed = self.failure is not None
            return Ending(b"", whole=failed or self._writer.ended, told=failed)
        outcome = self._collector.outcome
        if outcome is None:
            return Ending(b"", whole=False)
        self.failure = outcome if isinstance(outcome, Failed) else None
        return Ending(b"" if self.failure else self._collector.answer(), whole=True, told=self.failure is not None)

    def usage(self) -> Usage:
        """Tell the tokens used."""
        outcome = self._collector.outcome
        told = self._writer.usage if self._writer is not None else outcome.usage if isinstance(outcome, Done) else None
        return told or NO_USAGE


def adapt(call: Call, target: Target, body: bytes, asking: Asking) -> Adapted:
    """Put a request behind its adapter; `body` is in the call's format. Raises AdapterFault, RunIncomplete."""
    return _ADAPTERS[call.adapter](call, target, body, asking)


def _cohere(call: Call, _target: Target, body: bytes, asking: Asking) -> Adapted:
    asked = rerank_form.read(body)

    def write(answer: bytes) -> tuple[bytes, Usage | None]:
        return rerank_form.from_cohere(answer, asked, asking.stamp.model), None

    return Whole(rerank_form.to_cohere(asked, call.model), write)


def _gemini_embeddings(_call: Call, target: Target, body: bytes, asking: Asking) -> Adapted:
    asked = embeddings.of_openai(body)
    model = _model_path(target.model)
    return _read_whole(
        embeddings.to_gemini(asked, model),
        lambda answer: embeddings.from_gemini(answer, asked, asking.stamp.model),
        asked.lost,
    )


def _openai_embeddings(call: Call, _target: Target, body: bytes, asking: Asking) -> Adapted:
    batch = asking.operation is Operation.BATCH_EMBED
    asked = embeddings.of_gemini(body, batch=batch)
    return _read_whole(
        embeddings.to_openai(asked, call.model),
        lambda answer: embeddings.from_openai(answer, asked, batch=batch),
        asked.lost,
    )


def _read_whole(
    body: bytes, write: Callable[[bytes], tuple[bytes, Usage | None]], lost: tuple[str, ...] = ()
) -> Adapted:
    def written(answer: bytes) -> tuple[bytes, Usage | None] | Failed:
        try:
            return write(answer)
        except embeddings.Unreadable:
            return _NO_ANSWER

    whole = Whole(body, written)
    whole.lost = lost
    return whole


def _gemini_count(_call: Call, target: Target, body: bytes, _asking: Asking) -> Adapted:
    losses = Losses()
    sent = counting.to_gemini(body, _model_path(target.model), losses)
    return _count(sent, losses, "totalTokens", "input_tokens")


def _anthropic_count(call: Call, _target: Target, body: bytes, _asking: Asking) -> Adapted:
    losses = Losses()
    sent = counting.to_anthropic(body, call.model, losses)
    return _count(sent, losses, "input_tokens", "totalTokens")


def _count(body: bytes, losses: Losses, said: str, shown: str) -> Adapted:
    def write(answer: bytes) -> tuple[bytes, Usage | None] | Failed:
        count = counting.counted(answer, said)
        return _NO_ANSWER if count is None else (msgspec.json.encode({shown: count}), None)

    whole = Whole(body, write)
    whole.lost = losses.names
    return whole


_NO_ANSWER: Final = Failed("upstream_broken", "the upstream's answer could not be read")


def _model_path(model: str) -> str:
    return model if "/" in model else f"models/{model}"


def _coze_chat(_call: Call, target: Target, body: bytes, asking: Asking) -> Adapted:
    sent, lost = chat.to_coze(body, calls.bot_of(target), asking.api_key_id)
    return Streamed(sent, lost, BotReader(), asking)


def _coze_workflow(_call: Call, target: Target, body: bytes, asking: Asking) -> Adapted:
    run = _complete(workflow.read(body, target), target)
    sent = workflow.to_coze(run, is_async=False)
    if asking.stream:
        return Streamed(sent, run.lost, WorkflowReader(), asking)
    return Whole(sent, lambda answer: workflow.answer_of(answer, asking.stamp), lost=run.lost)


def _coze_workflow_async(_call: Call, target: Target, body: bytes, asking: Asking) -> Adapted:
    run = _complete(workflow.read(body, target), target)
    run_ids = asking.run_ids
    if run_ids is None:
        raise RunIncomplete(("a secret to sign its id with",))
    begun = Execution(asking.channel_id, asking.api_key_id, run.workflow_id, "", asking.stamp.model)
    if not run_ids.fits(begun):
        raise RunIncomplete(("a model with a shorter name",))

    def write(answer: bytes) -> tuple[bytes, Usage | None] | Failed:
        execute_id = workflow.execution_of(answer)
        if isinstance(execute_id, Failed):
            return execute_id
        try:
            run_id = run_ids.sign(structs.replace(begun, execute_id=execute_id))
        except TooLong:
            return UNREADABLE
        if not asking.stream:
            return workflow.started(asking.stamp, run_id), None
        writer = ChunkWriter(asking.stamp, include_usage=asking.include_usage)
        return writer.write([Text(workflow.started_text(run_id)), Done()]), None

    return Whole(workflow.to_coze(run, is_async=True), write, EVENTS if asking.stream else JSON, run.lost)


def _complete(run: workflow.Run, target: Target) -> workflow.Run:
    missing = calls.missing_for_run(target, run.workflow_id)
    if missing:
        raise RunIncomplete(missing)
    return run


_ADAPTERS: Final[Mapping[Adapter, Callable[[Call, Target, bytes, Asking], Adapted]]] = {
    Adapter.COHERE_RERANK: _cohere,
    Adapter.GEMINI_EMBEDDINGS: _gemini_embeddings,
    Adapter.OPENAI_EMBEDDINGS: _openai_embeddings,
    Adapter.GEMINI_COUNT: _gemini_count,
    Adapter.ANTHROPIC_COUNT: _anthropic_count,
    Adapter.COZE_CHAT: _coze_chat,
    Adapter.COZE_WORKFLOW: _coze_workflow,
    Adapter.COZE_WORKFLOW_ASYNC: _coze_workflow_async,
}
