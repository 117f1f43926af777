"""What routing needs of a request."""

from __future__ import annotations

import pytest

from relay_svc.endpoints import Route, match
from relay_svc.inbound import LONGEST_MODEL, Inbound
from relay_svc.payload import PayloadFault


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
