"""Pouring: an answer goes from its connection straight into a sink, with the bytes, the pace and the faults of reading.

Law: whatever a sink does (take, take no more for a while, want nothing more, raise), no byte is lost, doubled or out of
place, and a connection is used again only after a whole answer.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.upstream import BrokenAnswer, ReadTimeout
from relay_svc.upstream_http1.connection import MOST_UNREAD, Connection
from relay_svc.upstream_http1.exchange import Answer
from relay_svc.upstream_http1.request import Origin
from tests.harness.fuzz import examples
from tests.harness.waiting import PATIENCE, eventually_async, pace, turns
from tests.integration.relay_svc.clients import (
    CHUNKED,
    EVERY,
    OWN,
    PATIENT,
    Client,
    Line,
    Peer,
    answering,
    asked,
    chunks,
    holds_for,
    post,
)

END = b"0\r\n\r\n"
ORIGIN = Origin(secure=False, host="h", port=1)
SHORT = 0.1  # seconds


class Sink:
    """Keeps what it is given; refuses at random, from a seed."""

    def __init__(self, seed: int = 0, refuses: float = 0.0) -> None:
        """Take the seed, and the share of parts after which it takes no more for a moment."""
        self._random, self._refuses = random.Random(seed), refuses
        self.got = bytearray()
        self.open = asyncio.Event()
        """Whether it has room; set by the test where it waits for it."""
        self.open.set()
        self.full = False
        self.waits = 0

    def take_chunk(self, chunk: bytes, start: int) -> bool:
        """Keep what the one chunk holds."""
        size, _, rest = chunk.partition(b"\r\n")
        assert (start, int(size, 16)) == (len(size) + 2, len(rest) - 2)
        assert rest.endswith(b"\r\n")
        return self.take(chunk[start:-2])

    def take(self, data: bytes) -> bool:
        """Keep it."""
        assert not self.full, "given more before it was ready"
        assert data
        self.got += data
        self.full = self._random.random() < self._refuses
        return not self.full

    async def ready(self) -> bool:
        """Wait for room."""
        self.waits += 1
        await turns(self._random.randrange(3))
        await self.open.wait()
        self.full = False
        return True


class Faulty(Sink):
    """Raises at what it is given."""

    def take(self, data: bytes) -> bool:  # noqa: ARG002 - as a sink has it
        """Raise."""
        raise ZeroDivisionError


class Sated(Sink):
    """Wants nothing after the first part."""

    def take(self, data: bytes) -> bool:
        """Keep it."""
        super().take(data)
        return False

    async def ready(self) -> bool:
        """Want no more."""
        return False


def cut(wire: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes in pieces."""
    edges = [0, *sorted(place % (len(wire) + 1) for place in places), len(wire)]
    return [wire[begin:end] for begin, end in itertools.pairwise(edges) if end > begin]


class Wire(asyncio.Transport):
    """A transport that goes nowhere."""

    def __init__(self) -> None:
        """Be open."""
        super().__init__()
        self.aborted = self.held = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Not needed."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Drop it."""

    def abort(self) -> None:
        """Close."""
        self.aborted = True

    def pause_reading(self) -> None:
        """Be left alone."""
        self.held = True

    def resume_reading(self) -> None:
        """Be read again."""
        self.held = False


class Keeper:
    """Counts what comes back."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.kept = self.lost = 0

    def keep(self, _connection: Connection) -> None:
        """Count."""
        self.kept += 1

    def gone(self, _connection: Connection) -> None:
        """Count."""
        self.lost += 1


def connected(keeper: Keeper) -> tuple[Connection, Wire]:
    """A connection whose answer has begun."""
    connection, wire = Connection(ORIGIN, keeper), Wire()
    connection.connection_made(wire)
    connection.begin()
    connection.sent = True
    connection.data_received(CHUNKED)
    return connection, wire


EVENTS = st.lists(st.binary(min_size=1, max_size=40).map(lambda text: b"data: " + text + b"\n\n"), max_size=8)
PARTS = st.tuples(
    EVENTS, st.lists(st.integers(0, 2000), max_size=12), st.integers(0, 1 << 20), st.booleans(), st.booleans()
)


@examples(200)
@given(PARTS)
def test_a_stream_cut_anywhere_pours_as_it_reads(given_: tuple[list[bytes], list[int], int, bool, bool]) -> None:
    """Event by event or cut anywhere, whole or broken off, into a sink that refuses at random."""
    events, places, seed, by_event, whole = given_
    tail = END if whole else b"5\r\nhel"
    wire = b"".join(map(chunks, events)) + tail
    parts = [*map(chunks, events), tail] if by_event else cut(wire, places)
    body = b"".join(events) + (b"" if whole else b"hel")
    asyncio.run(poured(parts, body, seed, whole=whole))


async def poured(parts: list[bytes], body: bytes, seed: int, *, whole: bool) -> None:
    """Pour them, some in one turn of the event loop, some in turns of their own."""
    keeper, dice = Keeper(), random.Random(seed)
    connection, _ = connected(keeper)
    sink = Sink(seed, dice.random())
    pouring = asyncio.get_running_loop().create_task(
        Answer(connection, 5, asyncio.get_running_loop().time() + 5).pour(sink)
    )
    for part in parts:
        await turns(dice.randrange(4))
        connection.data_received(part)
    if not whole:
        connection.eof_received()
    if whole:
        last = await pouring
        assert sink.got + last == body
        assert (keeper.kept, keeper.lost) == (1, 0)
    else:
        with pytest.raises(BrokenAnswer):
            await pouring
        assert sink.got == body
        assert (keeper.kept, keeper.lost) == (0, 1)


@pytest.mark.parametrize("refuses", [0.0, 0.3, 1.0])
@holds_for(EVERY)
async def test_a_stream_pours_whole_over_a_socket_and_its_connection_goes_on(client: Client, refuses: float) -> None:
    """In chunks of any size, cut anywhere, one answer after another."""
    dice = random.Random(1)
    events = [b"data: %b\n\n" % dice.randbytes(dice.choice([1, 20, 5000])) for _ in range(40)]
    wire = CHUNKED + b"".join(map(chunks, events)) + END
    by_event = [CHUNKED, *map(chunks, events), END]
    anywhere = cut(wire, [dice.randrange(len(wire)) for _ in range(60)])
    for parts in (by_event, anywhere):
        async with Peer(answering(*parts)).serving() as peer, client.open() as upstream:
            for seed in range(2):
                sink = Sink(seed, refuses)
                answer = await post(upstream, peer.url)
                last = await answer.pour(sink)
                await answer.aclose()
                assert sink.got + last == b"".join(events)
            assert await asked(upstream, peer.url) == (200, b"".join(events))
            assert peer.connections == 1


async def stalls(line: Line) -> None:
    """Gives a part, and then nothing."""
    await line.request()
    await line.send(CHUNKED, chunks(b"hello"))
    await line.until_gone()


async def trickles(line: Line) -> None:
    """Gives parts without end."""
    await line.request()
    await line.send(CHUNKED)
    while not line.writer.is_closing():
        await line.send(chunks(b"x"))
        await pace(SHORT / 20)


@pytest.mark.parametrize(
    ("manner", "limits"), [(stalls, {"idle": SHORT}), (stalls, {"total": SHORT}), (trickles, {"total": SHORT})]
)
@holds_for(EVERY)
async def test_a_stream_that_stalls_or_never_ends_is_given_up(
    client: Client, manner: object, limits: dict[str, float]
) -> None:
    """What came before is passed on, and the connection is closed."""
    async with Peer(manner).serving() as peer, client.open() as upstream:  # type: ignore[arg-type]  # a manner
        sink = Sink()
        answer = await post(upstream, peer.url, limits=replace(PATIENT, **limits))
        with pytest.raises(ReadTimeout):
            await answer.pour(sink)
        await answer.aclose()
        assert sink.got
        await eventually_async(lambda: not peer.open)


async def floods(line: Line) -> None:
    """Gives parts as fast as they are taken, without end."""
    await line.request()
    await line.send(CHUNKED)
    while not line.writer.is_closing():
        await line.send(chunks(bytes(64 << 10)) * 4)


@pytest.mark.parametrize("refuses", [0.0, 0.5, 1.0])
@holds_for(EVERY)
async def test_a_stream_that_never_pauses_is_given_up_when_its_time_is_over(client: Client, refuses: float) -> None:
    """Though there are bytes at hand each time that anybody looks, in the connection or in the socket."""
    async with Peer(floods).serving() as peer, client.open() as upstream, asyncio.timeout(PATIENCE):
        sink = Sink(refuses=refuses)
        answer = await post(upstream, peer.url, limits=replace(PATIENT, total=SHORT))
        with pytest.raises(ReadTimeout):
            await answer.pour(sink)
        await answer.aclose()
        assert sink.got
        await eventually_async(lambda: not peer.open)


@holds_for(EVERY)
async def test_what_a_sink_raises_is_raised_where_it_is_poured(client: Client) -> None:
    """And the connection is not used again."""
    async with Peer(stalls).serving() as peer, client.open() as upstream:
        answer = await post(upstream, peer.url)
        with pytest.raises(ZeroDivisionError):
            await answer.pour(Faulty())
        await answer.aclose()
        await eventually_async(lambda: not peer.open)


@holds_for(EVERY)
async def test_a_sink_that_wants_no_more_ends_the_pouring(client: Client) -> None:
    """Though the upstream would go on."""
    async with Peer(stalls).serving() as peer, client.open() as upstream:
        answer = await post(upstream, peer.url)
        sink = Sated()
        assert await answer.pour(sink) == b""
        await answer.aclose()
        assert sink.got == b"hello"
        await eventually_async(lambda: not peer.open)


@pytest.mark.parametrize("full", [False, True])
@holds_for(EVERY)
async def test_a_pouring_that_is_cancelled_closes_its_connection(client: Client, *, full: bool) -> None:
    """Whether it waits for the upstream or for the sink."""
    async with Peer(stalls).serving() as peer, client.open() as upstream:
        sink = Sink(refuses=1.0 if full else 0.0)
        sink.open.clear()
        answer = await post(upstream, peer.url)
        pouring = asyncio.get_running_loop().create_task(answer.pour(sink))
        await eventually_async(lambda: sink.got)
        await turns()
        pouring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pouring
        await answer.aclose()
        await eventually_async(lambda: not peer.open)


@holds_for(OWN)
async def test_a_sink_that_is_full_holds_the_upstream_back(client: Client) -> None:  # noqa: ARG001 - for its loops
    """Little is held meanwhile, and all of it comes when there is room."""
    keeper = Keeper()
    connection, wire = connected(keeper)
    sink = Sink(refuses=1.0)
    sink.open.clear()
    pouring = asyncio.get_running_loop().create_task(
        Answer(connection, 5, asyncio.get_running_loop().time() + 5).pour(sink)
    )
    await turns()
    piece, sent = bytes(32 << 10), 0
    while not wire.held:
        connection.data_received(chunks(piece))
        sent += len(piece)
        assert sent <= MOST_UNREAD + 3 * len(piece)
    await turns()
    sink.open.set()
    await eventually_async(lambda: not wire.held)
    connection.data_received(END)
    assert len(sink.got) + len(await pouring) == sent
    assert keeper.kept == 1


async def test_a_deadline_met_at_the_last_moment_is_no_stall_later() -> None:
    """A part that came in the turn in which its time ran out counts; a full sink after it is no reason to give up."""
    connection, _ = connected(Keeper())
    sink = Sink()
    pouring = asyncio.get_running_loop().create_task(
        Answer(connection, 5, asyncio.get_running_loop().time() + 5).pour(sink)
    )
    await turns()
    connection.late = True  # as the timer has it
    connection.poke()
    connection.data_received(chunks(b"hello"))
    await turns()
    sink._refuses = 1.0
    connection.data_received(chunks(b"world"))
    await turns(8)
    connection.data_received(END)
    assert sink.got + await pouring == b"helloworld"
