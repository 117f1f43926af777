"""Turns the relay's words into protobuf and back.

The law: nothing is decided here, and no message is ever logged. Picks are put together from their bytes (protobuf's encoding:
a key, which is a field's number and kind, before each value): clients ask the same again and again, so what they ask is
written once and kept, and only its number on the stream is new. A message made for each pick costs 5 µs more.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from relay_svc.plan import (
    NO_LIMITS,
    NO_SHAPING,
    Asked,
    Candidate,
    ChannelLimits,
    Model,
    Models,
    Outcome,
    PickRefused,
    Plan,
    Result,
    Shaping,
)
from trunkline.rpc import RefusalRead
from trunkline.secret import Secret
from trunkline.v1 import router_pb2 as pb

_PER_SECOND: Final = 10**9


_LENGTH_DELIMITED: Final = 2
_ITEM: Final = pb.PickChannelsRequest.Item


def _key(message: Any, field: str) -> bytes:
    """Give the key of a field whose value is a message; its number is below 16."""
    return bytes((message.DESCRIPTOR.fields_by_name[field].number << 3 | _LENGTH_DELIMITED,))


_ITEMS_KEY: Final = _key(pb.PickChannelsRequest, "items")
_PICK_KEY: Final = _key(_ITEM, "pick")
_ID_KEY: Final = bytes((_ITEM.DESCRIPTOR.fields_by_name["id"].number << 3,))


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def pick_of(asked: Asked) -> bytes:
    """Write a pick, as a part of an item."""
    if asked.excluded:  # one request's own: not worth keeping
        return _written(
            pb.Pick(
                api_key=asked.api_key.reveal(),
                model=asked.model,
                client_address=asked.client_address,
                max_candidates=asked.max_candidates,
                excluded_channel_ids=asked.excluded,
            )
        )
    return _pick(asked.api_key.reveal(), asked.model, asked.client_address, asked.max_candidates, asked.channel_id)


@lru_cache(maxsize=4096)
def _pick(api_key: str, model: str, client_address: str, max_candidates: int, channel_id: int) -> bytes:
    return _written(
        pb.Pick(
            api_key=api_key,
            model=model,
            client_address=client_address,
            max_candidates=max_candidates,
            required_channel_id=channel_id,
        )
    )


def _written(pick: pb.Pick) -> bytes:
    wire = pick.SerializeToString()
    return _PICK_KEY + _varint(len(wire)) + wire


def item_of(number: int, pick: bytes, time_limit: float | None) -> bytes:
    """Write a numbered pick as a part of a PickChannelsRequest; `time_limit` in seconds, None for the router's own."""
    item = b"".join((_ID_KEY, _varint(number), pick))
    if time_limit is not None:
        item += _ITEM(time_limit=duration(time_limit)).SerializeToString()
    return b"".join((_ITEMS_KEY, _varint(len(item)), item))


def plan_from(plan: pb.Plan, router: str) -> Plan:
    """Read a plan."""
    return Plan(
        router=router,
        decision_id=plan.decision_id,
        revision=plan.token.revision,
        group=plan.group,
        matched_model=plan.matched_model,
        api_key_id=plan.api_key_id,
        candidates=_Candidates(plan.candidates),
        degraded=plan.degraded,
        snapshot_age=seconds(plan.snapshot_age) if plan.degraded else 0.0,
    )


class _Candidates(Sequence[Candidate]):
    """A plan's candidates, each read when it is looked at: of three nearly always one is."""

    __slots__ = ("_wire",)

    def __init__(self, wire: Sequence[pb.Candidate]) -> None:
        self._wire = wire

    def __len__(self) -> int:
        return len(self._wire)

    def __iter__(self) -> Iterator[Candidate]:
        return map(_read, self._wire)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self)[index]
        return _read(self._wire[index])


def _read(candidate: pb.Candidate) -> Candidate:
    return _candidate_of(candidate.SerializeToString())


@lru_cache(maxsize=1024)
def _candidate_of(wire: bytes) -> Candidate:
    """Read a candidate; the same bytes, key and all, are the same candidate (8 µs saved a request, and never a stale key)."""
    candidate = pb.Candidate.FromString(wire)
    return Candidate(
        channel_id=candidate.channel_id,
        channel_name=candidate.channel_name,
        provider=candidate.provider,
        base_url=candidate.base_url,
        upstream_model=candidate.upstream_model,
        key_id=candidate.key_id,
        key=Secret(candidate.key) if candidate.key else None,
        header_overrides=dict(candidate.header_overrides),
        parameter_overrides=candidate.parameter_overrides_json,
        limits=_limits_from(candidate.timeouts) if candidate.HasField("timeouts") else NO_LIMITS,
        shaping=_shaping_from(candidate.shaping) if candidate.HasField("shaping") else NO_SHAPING,
    )


def _shaping_from(shaping: pb.Shaping) -> Shaping:
    return Shaping(
        provider_options=dict(shaping.provider_options),
        removed_headers=frozenset(shaping.removed_headers),
        system_prompt=shaping.system_prompt,
        prepends_prompt=shaping.system_prompt_mode == pb.SYSTEM_PROMPT_MODE_PREPEND,
        status_mapping=dict(shaping.status_mapping),
        proxy=Secret(shaping.proxy_url) if shaping.proxy_url else None,
        strict=shaping.strict,
        repeat_after_timeout=shaping.repeat_after_timeout,
    )


def _limits_from(timeouts: pb.Timeouts) -> ChannelLimits:
    return ChannelLimits(
        *(
            seconds(getattr(timeouts, name)) if timeouts.HasField(name) else None
            for name in ("connect", "first_byte", "idle", "total")
        )
    )


def models_from(response: pb.ListModelsResponse) -> Models:
    """Read a list of models."""
    models = tuple(Model(model.name, tuple(model.providers)) for model in response.models)
    return Models(response.token.revision, models, response.degraded)


def refused_from(refusal: RefusalRead) -> PickRefused:
    """Read a refusal."""
    return PickRefused(refusal.reason, refusal.message, refusal.metadata, refusal.retry_delay)


def report_of(outcomes: Iterable[Outcome]) -> pb.ReportOutcomesRequest:
    """Write a batch of outcomes, each in its place: made by itself and then copied in, one costs 17 µs, so 6."""
    report = pb.ReportOutcomesRequest()
    for outcome in outcomes:
        _write_outcome(report.outcomes.add(), outcome)
    return report


def _write_outcome(message: pb.Outcome, outcome: Outcome) -> None:
    usage = outcome.usage
    message.decision_id = outcome.decision_id
    message.request_id = outcome.request_id
    message.attempt = outcome.attempt
    message.channel_id = outcome.channel_id
    message.key_id = outcome.key_id
    message.model = outcome.model
    message.result = _RESULTS[outcome.result]
    message.http_status = outcome.http_status
    if outcome.error_code:
        message.error_code = outcome.error_code
    _write_span(message.total_duration, outcome.total_seconds)
    if outcome.streamed:
        message.streamed = True
    message.input_tokens = usage.input_tokens
    message.output_tokens = usage.output_tokens
    if outcome.first_byte_seconds is not None:
        _write_span(message.first_byte_duration, outcome.first_byte_seconds)
    _write_span(message.end_time, outcome.end_time)


_RESULTS: Final = {result: pb.OutcomeResult.Value(f"OUTCOME_RESULT_{result}") for result in Result}


def _write_span(message: Duration | Timestamp, span: float) -> None:
    whole = int(span)  # a third of what `divmod` of all nanoseconds costs
    if whole:
        message.seconds = whole
    message.nanos = int((span - whole) * _PER_SECOND)


def duration(span: float) -> Duration:
    """Write a span given in seconds."""
    message = Duration()
    _write_span(message, span)
    return message


def seconds(message: Duration) -> float:
    """Read a span in seconds."""
    return message.seconds + message.nanos / _PER_SECOND
