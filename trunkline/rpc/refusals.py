"""Refusals on the wire, both ways.

The law: a refusal is a `google.rpc.Status` with exactly one ErrorInfo, plus BadRequest or RetryInfo where they fit; on the
pick stream it is a `Refusal`, which says the same. Nothing else writes or reads them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from trunkline.errors import DOMAIN, FieldFault, Reason, Refused
from trunkline.v1 import error_reason_pb2, router_pb2

_NUMBERS = {reason: error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{reason}") for reason in Reason}
_REASONS = {number: reason for reason, number in _NUMBERS.items()}


def status_of(refused: Refused, request_id: str = "") -> status_pb2.Status:
    """Write a refusal as a rich status."""
    # A refusal about a request id keeps it: it is what to retry with, and not the id of this call.
    metadata = {"request_id": request_id, **refused.metadata} if request_id else dict(refused.metadata)
    details = [_packed(error_details_pb2.ErrorInfo(reason=refused.reason, domain=DOMAIN, metadata=metadata))]
    if refused.faults:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=fault.field, description=fault.description)
            for fault in refused.faults
        ]
        details.append(_packed(error_details_pb2.BadRequest(field_violations=violations)))
    if refused.retry_delay is not None:
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=_duration(refused.retry_delay))))
    return status_pb2.Status(code=refused.code, message=refused.message, details=details)


def refusal_of(refused: Refused) -> router_pb2.Refusal:
    """Write a refusal as the message that answers one pick of a stream."""
    return router_pb2.Refusal(
        code=refused.code,
        reason=_NUMBERS[refused.reason],
        message=refused.message,
        metadata=refused.metadata,
        retry_delay=None if refused.retry_delay is None else _duration(refused.retry_delay),
    )


@dataclass(frozen=True, slots=True)
class RefusalRead:
    """A refusal as a client reads it; `reason` is None when the failure is gRPC's own (no connection, deadline)."""

    code: int
    reason: Reason | None
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_delay: float | None = None
    faults: tuple[FieldFault, ...] = ()


def read_error(error: grpc.aio.AioRpcError) -> RefusalRead:
    """Read the refusal out of a failed call."""
    status = rpc_status.from_call(cast("grpc.Call", error))  # it reads three methods that both have
    if status is None:
        return RefusalRead(error.code().value[0], None, error.details() or "")
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    for detail in status.details:
        for message in (info, bad, retry):
            detail.Unpack(message)
    return RefusalRead(
        status.code,
        _reason(info.reason) if info.domain == DOMAIN else None,
        status.message,
        dict(info.metadata),
        retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
        tuple(FieldFault(violation.field, violation.description) for violation in bad.field_violations),
    )


def read_refusal(refusal: router_pb2.Refusal) -> RefusalRead:
    """Read the refusal that answers one pick of a stream; its reason is None when a newer router gives one unknown here."""
    return RefusalRead(
        refusal.code,
        _REASONS.get(refusal.reason),
        refusal.message,
        dict(refusal.metadata),
        refusal.retry_delay.ToTimedelta().total_seconds() if refusal.HasField("retry_delay") else None,
    )


def _reason(name: str) -> Reason | None:
    return Reason(name) if name in Reason.__members__ else None  # a newer peer may know more reasons


def _packed(message: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _duration(seconds: float) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration
