"""Draws what no provider would send, and anybody could: JSON with other things in its places, streams out of order."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from relay_svc.dialects import Dialect
from tests.unit.relay_svc.dialects.samples import GEMINI_ARRAY, STREAMS

SCALARS = st.sampled_from(
    [None, True, False, 0, -1, 1 << 70, 1.5, 1e300, "", "x", "data:,", "text", "user", "tool", "function", "\x00", "😀"]
)
WRECKED = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "text", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Name every place in a JSON value."""
    found = [path]
    if isinstance(value, dict):
        found += [place for key, inner in value.items() for place in places(inner, (*path, key))]
    elif isinstance(value, list):
        found += [place for key, inner in enumerate(value) for place in places(inner, (*path, key))]
    return found


def wrecked(value: Any, draw: Callable[[Any], Any]) -> Any:
    """Put something else in one or two places, or take a member away."""
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(places(value)))
        if not path:
            return draw(WRECKED)
        value = json.loads(json.dumps(value))
        holder = value
        for key in path[:-1]:
            holder = holder[key]
        if draw(st.booleans()):
            holder[path[-1]] = draw(WRECKED)
        elif isinstance(holder, dict):
            del holder[path[-1]]
    return value


@st.composite
def streams(draw: st.DrawFn, dialect: Dialect) -> bytes:
    """Draw a stream of a dialect's in which one event is wrecked, missing, doubled or in another's place."""
    events = [block for block in STREAMS[dialect].split(b"\n\n") if block]
    place = draw(st.integers(0, len(events) - 1))
    what = draw(st.sampled_from(["wreck", "drop", "double", "swap"]))
    name, _, told = events[place].rpartition(b"data: ")
    if what == "wreck" and told.startswith(b"{"):
        events[place] = name + b"data: " + json.dumps(wrecked(json.loads(told), draw)).encode()
    elif what == "drop":
        del events[place]
    elif what == "double":
        events.insert(draw(st.integers(0, len(events))), events[place])
    else:
        other = draw(st.integers(0, len(events) - 1))
        events[place], events[other] = events[other], events[place]
    return b"\n\n".join(events) + b"\n\n"


NOISE = st.sampled_from(
    [b"\r\n", b"\r", b"\n", b"\n\n", b"\r\n\r\n", b"data: ", b"event: error\n", b"\xff", b": x\n", b"{"]
)


@st.composite
def torn(draw: st.DrawFn, dialect: Dialect) -> bytes:
    """Draw any stream: a good one, a wrecked one, Gemini's array; cut short, with noise within, with other line ends."""
    stream = draw(st.just(STREAMS[dialect]) | streams(dialect) | st.just(GEMINI_ARRAY))
    if draw(st.booleans()):
        stream = stream[: draw(st.integers(0, len(stream)))]
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(stream)))
        stream = stream[:place] + draw(NOISE) + stream[place:]
    return stream.replace(b"\n", draw(st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])))


CUTS = st.lists(st.integers(0, 1 << 13), max_size=8).map(sorted)


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    """Cut a stream; a place beyond its end cuts nothing."""
    return [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream) + (1 << 13)], strict=True)]
