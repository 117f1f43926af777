"""Turns the relay's words into protobuf and back. The law: nothing is decided here, and no message is ever logged."""

from collections.abc import Iterable

from google.protobuf.duration_pb2 import Duration

from relay_svc.plan import (
    NO_SHAPING,
    Asked,
    Candidate,
    ChannelLimits,
    Model,
    Models,
    Outcome,
    PickRefused,
    Plan,
    Shaping,
)
from trunkline.rpc import RefusalRead
from trunkline.secret import Secret
from trunkline.v1 import router_pb2 as pb

_NANOS = 1e-9
NO_LIMITS = ChannelLimits()


def pick_of(asked: Asked) -> pb.Pick:
    """Write a pick."""
    return pb.Pick(
        api_key=asked.api_key.reveal(),
        model=asked.model,
        client_address=asked.client_address,
        max_candidates=asked.max_candidates,
    )


def plan_from(plan: pb.Plan, router: str) -> Plan:
    """Read a plan."""
    return Plan(
        router=router,
        decision_id=plan.decision_id,
        revision=plan.token.revision,
        group=plan.group,
        matched_model=plan.matched_model,
        api_key_id=plan.api_key_id,
        candidates=tuple(map(_candidate_from, plan.candidates)),
        degraded=plan.degraded,
        snapshot_age=seconds(plan.snapshot_age),
    )


def _candidate_from(candidate: pb.Candidate) -> Candidate:
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
    """Write a batch of outcomes."""
    return pb.ReportOutcomesRequest(outcomes=map(_outcome_of, outcomes))


def _outcome_of(outcome: Outcome) -> pb.Outcome:
    message = pb.Outcome(
        decision_id=outcome.decision_id,
        request_id=outcome.request_id,
        attempt=outcome.attempt,
        channel_id=outcome.channel_id,
        key_id=outcome.key_id,
        model=outcome.model,
        result=pb.OutcomeResult.Value(f"OUTCOME_RESULT_{outcome.result}"),
        http_status=outcome.http_status,
        error_code=outcome.error_code,
        total_duration=duration(outcome.total_seconds),
        streamed=outcome.streamed,
        input_tokens=outcome.usage.input_tokens,
        output_tokens=outcome.usage.output_tokens,
    )
    if outcome.first_byte_seconds is not None:
        message.first_byte_duration.CopyFrom(duration(outcome.first_byte_seconds))
    message.end_time.FromNanoseconds(round(outcome.end_time / _NANOS))
    return message


def duration(span: float) -> Duration:
    """Write a span given in seconds."""
    message = Duration()
    message.FromNanoseconds(round(max(0.0, span) / _NANOS))
    return message


def seconds(message: Duration) -> float:
    """Read a span in seconds."""
    return message.seconds + message.nanos * _NANOS
