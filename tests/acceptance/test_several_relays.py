"""Several relays behind one address: every one of them serves, and whoever is asked for metrics tells of all."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import httpx2

from tests.acceptance import upstreams
from tests.acceptance.stack import Stack, running, unique
from tests.harness.waiting import PATIENCE, eventually

RELAYS = 3
_COUNTED = re.compile(r'^trunkline_relay_requests_total\{.*?outcome="served".*?\} (\S+)$', re.MULTILINE)
_IN_FLIGHT = re.compile(r"^trunkline_relay_in_flight_requests (\S+)$", re.MULTILINE)


def _served_by_each(data: Path) -> list[int]:
    logs = [data / "logs" / f"relay-{number}.log" for number in range(1, RELAYS + 1)]
    return [log.read_text().count("[Distributor] served") for log in logs]


def _asks_until(stack: Stack, model: str, key: str, data: Path) -> int:
    """Ask over many connections until every relay has served more than it had; gives the number of requests."""
    before, asked = _served_by_each(data), 0

    def enough() -> bool:
        nonlocal asked
        clients = [httpx2.Client(timeout=PATIENCE, trust_env=False) for _ in range(8)]
        for client in clients:  # kept open meanwhile, so that no relay can take them all one after the other
            answer = client.post(
                f"{stack.relay}/v1/chat/completions",
                json={"model": model, "messages": []},
                headers={"authorization": f"Bearer {key}"},
            )
            assert answer.status_code == 200, answer.text
            asked += 1
        for client in clients:
            client.close()
        return all(now > then for now, then in zip(_served_by_each(data), before, strict=True))

    eventually(enough, what="every relay has served")
    return asked


def _metrics(stack: Stack) -> tuple[float, float]:
    """Served requests and requests in flight, as told by the relay that is asked: the last one, which no test kills."""
    text = httpx2.get(f"{stack.addresses['relay_operations'][-1]}/metrics", trust_env=False).text
    (served,) = _COUNTED.findall(text)
    (in_flight,) = _IN_FLIGHT.findall(text)
    return float(served), float(in_flight)


def test_relays_share_the_address_and_their_metrics_add_up(tmp_path: Path) -> None:
    """What one of them counted is not lost when it dies, and what it had in flight is not counted for ever."""
    name = unique("model")
    with (
        upstreams.answering(200, {"id": "x", "object": "chat.completion", "choices": []}) as upstream,
        running(tmp_path, f"--relays={RELAYS}") as stack,
    ):
        stack.channel(upstream.url, name)
        key, data = stack.api_key(), tmp_path / "data"
        asked = _asks_until(stack, name, key, data)
        eventually(lambda: _metrics(stack) == (asked, 0), what="the metrics of any relay are those of all")

        os.kill(stack.addresses["pids"]["relays"][0], signal.SIGKILL)
        asked += _asks_until(stack, name, key, data)
        eventually(lambda: _metrics(stack) == (asked, 0), what="the dead relay's requests are still counted")
