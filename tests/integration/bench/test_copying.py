"""The proxy that copies bytes, between a client and the canned upstream."""

from __future__ import annotations

from pathlib import Path

import httpx2

from bench.answers import verify
from bench.peers.copying import copying
from bench.peers.upstream import canned


def test_what_comes_in_goes_out(tmp_path: Path) -> None:
    """Answers and streams are the upstream's own, and so is the answer to a body of many reads."""
    with canned(tmp_path) as upstream, copying(upstream.port, tmp_path) as candidate:
        verify(candidate, upstream)
        with httpx2.Client(headers={"connection": "close"}) as client:
            answers = {
                client.post(url, content=b"x" * 1_000_000).text for url in (candidate.url, upstream.direct().url)
            }
        assert len(answers) == 1
