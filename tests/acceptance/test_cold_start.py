"""The first request after the relay is ready succeeds, every time. The bench starts two hundred times."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance import upstreams
from tests.acceptance.stack import running, unique

STARTS = 4


def test_the_first_request_after_ready_succeeds(tmp_path: Path) -> None:
    """From the JSON line on, no 503; data of the first start are there in the later ones."""
    name = unique("model")
    key = ""
    with upstreams.answering(200, {"id": "x", "object": "chat.completion", "choices": []}) as upstream:
        for start in range(STARTS):
            with running(tmp_path) as stack:
                if start == 0:
                    stack.channel(upstream.url, name)
                    key = stack.api_key()
                answer = stack.openai(key).chat.completions.create(model=name, messages=[])
                assert answer.id == "x", f"start {start}"
    assert len(upstream.requests) == STARTS
