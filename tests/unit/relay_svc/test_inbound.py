"""What routing needs of a request."""

from __future__ import annotations

import pytest

from relay_svc.endpoints import Route, match
from relay_svc.inbound import LONGEST_MODEL, Inbound
from relay_svc.outbound import Around, Passed, outbound
from relay_svc.payload import PayloadFault
from relay_svc.plan import Candidate, TimeLimits


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/embeddings"])
def test_a_models_name_is_bounded_before_a_router_is_asked(path: str) -> None:
    """It travels with other clients' picks, and before its caller's key was looked at."""
    route = match("POST", path.encode())
    assert isinstance(route, Route)
    for length, good in ((LONGEST_MODEL, True), (LONGEST_MODEL + 1, False), (9 << 20, False)):
        body = b'{"model":"%b"}' % (b"m" * length)
        if good:
            assert len(Inbound(route, body, path, b"", b"application/json").model) == length
        else:
            with pytest.raises(PayloadFault, match="no model's name"):
                Inbound(route, body, path, b"", b"application/json")


def test_of_many_channels_of_a_kind_a_body_that_cannot_be_written_is_tried_for_one() -> None:
    """Thousands of them cost no thousand readings; another kind is tried for itself."""
    route = match("POST", b"/v1/chat/completions")
    assert isinstance(route, Route)
    body = b'{"model":"m","messages":5}'
    inbound = Inbound(route, body, "/v1/chat/completions", b"", b"application/json")
    around = Around("r", [], 0, 1, TimeLimits(1, 1, 1, 1))
    reasons = []
    for number, upstream_model in ((1, "a"), (2, "a"), (3, "b")):
        asked = Candidate(number, "c", "anthropic", "http://127.0.0.1:9", upstream_model)
        passed = outbound(asked, inbound, around)
        assert isinstance(passed, Passed)
        reasons.append(passed.why)
    assert reasons[0] is reasons[1]
    assert reasons[0] is not reasons[2]
