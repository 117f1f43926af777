"""What translating costs: CPU for a 4 KB request and for an event of a stream, from each dialect to each.

    python -m bench.dialects

CPU time of this process, best of several rounds, since the machine is shared. The bars: 150 µs a request, 20 µs an event.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from relay_svc.dialects import (
    Dialect,
    Losses,
    Stamp,
    StreamReader,
    Target,
    Translation,
    read_request,
    stream_writer,
    write_request,
)

ROUNDS, TIMES = 7, 200
REQUEST_BAR, EVENT_BAR = 150.0, 20.0
EVENTS = 400
STAMP = Stamp("0a1b2c3d", 1_760_000_000)
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "A town."},
        "unit": {"enum": ["c", "f"]},
        "days": {"type": "integer", "minimum": 1},
    },
    "required": ["city"],
    "additionalProperties": False,
}


def main() -> None:
    """Measure every pair and print the worst of each."""
    chat = json.dumps(request()).encode()
    bodies = {Dialect.OPENAI_CHAT: chat}
    for dialect in Dialect:
        asked = read_request(Dialect.OPENAI_CHAT, chat, Losses())
        bodies.setdefault(dialect, write_request(dialect, asked, Target("m"), Losses()))
    print(f"a request of {len(chat)} bytes, µs CPU (client down, upstream across)\n")
    worst = table(lambda client, upstream: cost_of_request(client, upstream, bodies[client]))
    print(f"\nworst: {worst:.1f} µs, the bar is {REQUEST_BAR:.0f}\n")
    print(f"a stream of {EVENTS} deltas, µs CPU an event (client down, upstream across)\n")
    streams = {dialect: stream(dialect) for dialect in Dialect}
    worst = table(lambda client, upstream: cost_of_event(client, upstream, streams[upstream]))
    print(f"\nworst: {worst:.1f} µs, the bar is {EVENT_BAR:.0f}")


def table(measure: Callable[[Dialect, Dialect], float]) -> float:
    """Print a table of all pairs; gives the largest figure."""
    print(" " * 20 + "".join(f"{dialect.value:>20}" for dialect in Dialect))
    largest = 0.0
    for client in Dialect:
        figures = [measure(client, upstream) for upstream in Dialect]
        largest = max(largest, *figures)
        print(f"{client.value:<20}" + "".join(f"{figure:>20.1f}" for figure in figures))
    return largest


def best(work: Callable[[], None], times: int) -> float:
    """Give the CPU of one piece of work in µs, best of the rounds."""
    costs = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(times):
            work()
        costs.append((time.process_time() - start) / times)
    return min(costs) * 1e6


def cost_of_request(client: Dialect, upstream: Dialect, body: bytes) -> float:
    """Measure reading and writing a request."""
    target = Target("upstream-model")

    def work() -> None:
        losses = Losses()
        write_request(upstream, read_request(client, body, losses, model="m"), target, losses)

    return best(work, TIMES)


def cost_of_event(client: Dialect, upstream: Dialect, chunks: list[bytes]) -> float:
    """Measure a stream, an event a chunk."""

    def work() -> None:
        losses = Losses()
        way = Translation(StreamReader(upstream, losses), stream_writer(client, STAMP, losses))
        for chunk in chunks:
            way.feed(chunk)
        way.end(clean=True)
        assert way.whole

    return best(work, 3) / len(chunks)


def request() -> dict[str, Any]:
    """Make a chat request of about 4 KB, with a conversation, calls and tools."""
    call = {"id": "call_1", "type": "function", "function": {"name": "tool_0", "arguments": '{"city": "Oslo"}'}}
    tools = [
        {
            "type": "function",
            "function": {"name": f"tool_{number}", "description": "Does it. " * 12, "parameters": SCHEMA},
        }
        for number in range(4)
    ]
    return {
        "model": "client-model",
        "messages": [
            {"role": "system", "content": "You are of help. " * 20},
            {"role": "user", "content": "What is it like out there? " * 20},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "It rains. " * 20},
            {"role": "assistant", "content": "It rains there, I am sorry to say. " * 10},
            {"role": "user", "content": [{"type": "text", "text": "And tomorrow? " * 20}]},
        ],
        "tools": tools,
        "tool_choice": "auto",
        "temperature": 0.7,
        "max_tokens": 1000,
        "stream": True,
    }


def stream(dialect: Dialect) -> list[bytes]:
    """Make a dialect's stream, an event a chunk, out of a chat stream."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    chunks = [
        {**head, "choices": [{"index": 0, "delta": {"content": "some words "}, "finish_reason": None}]}
        for _ in range(EVENTS)
    ]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]
    if dialect is Dialect.OPENAI_CHAT:
        return events
    losses = Losses()
    way = Translation(StreamReader(Dialect.OPENAI_CHAT, losses), stream_writer(dialect, STAMP, losses))
    return [out for event in events if (out := way.feed(event))]


if __name__ == "__main__":
    main()
