"""The tree of refusals and the enum on the wire say the same."""

import string
from typing import Any

import pytest

from trunkline import errors
from trunkline.errors import InvalidFields, Reason, Refused
from trunkline.rpc import read_refusal, refusal_of, status_of
from trunkline.v1 import error_reason_pb2, router_pb2

REFUSALS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Refused)]
LEAVES = [kind for kind in REFUSALS if kind is not Refused]


def made(kind: type[Refused]) -> Refused:
    """Make a refusal with a value for each name in its template."""
    if issubclass(kind, InvalidFields):
        return kind([errors.FieldFault("channel.name", "is empty"), errors.FieldFault("keys[0]", "is empty")])
    names = [name for _, name, _, _ in string.Formatter().parse(kind.template) if name]
    values: dict[str, Any] = {name: f"<{name}>" for name in names}
    return kind(**values)


def test_each_reason_on_the_wire_has_one_class() -> None:
    """Proto, enum and classes name the same reasons, each once."""
    on_the_wire = {name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.keys()}  # noqa: SIM118
    assert on_the_wire - {"UNSPECIFIED"} == {reason.value for reason in Reason}
    assert sorted(kind.reason for kind in LEAVES) == sorted(Reason)


@pytest.mark.parametrize("kind", LEAVES)
def test_what_varies_in_a_message_is_in_its_metadata(kind: type[Refused]) -> None:
    """Clients need not read prose."""
    refused = made(kind)
    if isinstance(refused, InvalidFields):
        assert refused.metadata == {"fields": "channel.name,keys[0]"}
        return
    for name, value in refused.metadata.items():
        assert value == f"<{name}>"
        assert value in refused.message


@pytest.mark.parametrize("kind", LEAVES)
def test_a_refusal_says_the_same_on_the_stream_and_in_a_status(kind: type[Refused]) -> None:
    """One refusal, two carriers."""
    refused = made(kind)
    read = read_refusal(refusal_of(refused))
    status = status_of(refused)
    assert (read.code, read.reason, read.message, read.metadata) == (
        status.code,
        refused.reason,
        status.message,
        refused.metadata,
    )
    assert read.retry_delay == refused.retry_delay
    assert (refused.retry_delay is None) == (
        refused.code not in {errors.Code.UNAVAILABLE, errors.Code.RESOURCE_EXHAUSTED}
    )


def test_a_reason_that_only_newer_routers_know_is_none_here() -> None:
    """The code and the words are there all the same."""
    read = read_refusal(router_pb2.Refusal(code=errors.Code.NOT_FOUND, reason=9_999, message="gone"))  # type: ignore[arg-type]
    assert (read.code, read.reason, read.message) == (errors.Code.NOT_FOUND, None, "gone")


def test_a_strangers_text_is_bounded_and_quoted_in_a_message() -> None:
    """A model name of a megabyte does not become a message of one, nor break a log line."""
    refused = errors.ModelUnknown(model="m\n" * 100_000, revision=1)
    assert len(refused.message) < 3 * errors.TEXT_LIMIT
    assert len(refused.metadata["model"]) <= errors.TEXT_LIMIT
    assert "\n" not in refused.message
