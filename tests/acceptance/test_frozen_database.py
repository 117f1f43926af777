"""With the database frozen and unknown models coming in, known models are served as before."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx2
import pytest

from tests.acceptance import upstreams
from tests.acceptance.stack import Stack, running, unique
from tests.harness.waiting import PATIENCE, eventually

PICKS = 40


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack of one's own, to freeze."""
    with running(tmp_path) as started:
        yield started


@contextmanager
def frozen(pids: list[int]) -> Iterator[None]:
    """Stop processes where they stand."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)


def test_positives_never_wait_behind_negatives(own_stack: Stack) -> None:
    """Known models answer promptly; unknown ones are UNVERIFIED, never a flat no; after the thaw they are 404 again."""
    name, key = unique("model"), own_stack.api_key()
    with upstreams.answering(200, {"id": "x", "choices": []}) as upstream, httpx2.Client(timeout=PATIENCE) as http:
        own_stack.channel(upstream.url, name)

        def ask(model: str) -> tuple[httpx2.Response, float]:
            start = time.monotonic()
            answer = http.post(
                f"{own_stack.relay}/v1/chat/completions",
                headers={"authorization": f"Bearer {key}"},
                json={"model": model, "messages": []},
            )
            return answer, time.monotonic() - start

        assert ask(name)[0].status_code == 200
        stop = threading.Event()

        def storm() -> list[tuple[httpx2.Response, float]]:
            answers = []
            while not stop.is_set():
                answers.append(ask(unique("unknown")))
            return answers

        with ThreadPoolExecutor(8) as pool, frozen(own_stack.postgres_pids()):
            storms = [pool.submit(storm) for _ in range(8)]
            served = [ask(name) for _ in range(PICKS)]
            stop.set()
            refused = [answer for one in storms for answer in one.result()]
        assert {answer.status_code for answer, _ in served} == {200}
        assert median(seconds for _, seconds in served) < median(seconds for _, seconds in refused)
        assert refused
        assert {answer.status_code for answer, _ in refused} == {503}
        assert all("UNVERIFIED" in answer.text and answer.headers["retry-after"] == "1" for answer, _ in refused)
        assert not any("MODEL_UNKNOWN" in answer.text for answer, _ in refused)

        eventually(lambda: ask(unique("unknown"))[0].status_code == 404)
