"""Nothing that a log, an error page or a debugger prints of a request holds a credential or a body."""

from __future__ import annotations

import pprint

import msgspec
import pytest

from relay_svc.answers import Ending
from relay_svc.attempts import ErrorAnswer
from relay_svc.beginning import Refused
from relay_svc.failover import Failure, Kind
from relay_svc.inbound import Unnamed
from relay_svc.operations import Format
from relay_svc.outbound import Around
from relay_svc.payload import Payload
from relay_svc.plan import Asked, Candidate, Plan, Shaping, TimeLimits
from relay_svc.record import Attempt, Record
from relay_svc.upstream import UpstreamRequest
from trunkline.secret import Secret

CANARY = "canary-7f3a"
RAW = CANARY.encode()
HEADERS = [(b"authorization", RAW)]
LIMITS = TimeLimits(1, 1, 1, 1)
CANDIDATE = Candidate(
    1,
    "c",
    "openai",
    "http://x",
    "m",
    key=Secret(CANARY),
    header_overrides={"x": CANARY},
    shaping=Shaping(proxy=Secret(CANARY)),
)
PLAN = Plan("r", "d", 1, "g", "m", 1, (CANDIDATE,))
RECORD = Record("id", "/v1", "::1", plan=PLAN)
ALL: list[msgspec.Struct] = [
    UpstreamRequest("http://x", HEADERS, RAW, LIMITS, Secret(CANARY)),
    Around("id", HEADERS, 0, 1, LIMITS),
    ErrorAnswer(500, HEADERS, RAW, Format.OPENAI_CHAT, CANDIDATE),
    Refused(Failure(Kind.ANSWERED), RAW),
    Ending(RAW, whole=True),
    Payload(RAW, "m", (0, 1), stream=False, beside=()),
    Unnamed(RAW),
    Asked(Secret(CANARY), "m", "::1", 3),
    PLAN,
    RECORD,
    Attempt(RECORD, PLAN, CANDIDATE, 1),
]


@pytest.mark.parametrize("shown", ALL, ids=lambda shown: type(shown).__name__)
def test_no_credential_and_no_body_is_printed(shown: msgspec.Struct) -> None:
    """By `repr`, by formatting, or by a pretty printer, which asks a Struct for its fields."""
    rich = list(shown.__rich_repr__())
    for text in (repr(shown), f"{shown}", f"{rich}", pprint.pformat(shown), pprint.pformat(rich)):
        assert CANARY not in text


def test_where_a_request_goes_is_shown() -> None:
    """It is no secret."""
    assert repr(ALL[0]) == "UpstreamRequest('http://x')"
