"""What watches, opens and adapts streams, in any chunks: where a stream is cut is the network's accident.

Law: nothing is raised, and the client is given the same events and the same end.
"""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from relay_svc.answers import Passing
from relay_svc.dialects import Dialect
from relay_svc.dialects.sse import EventCutter
from relay_svc.opening import Opening
from relay_svc.operations import Format
from relay_svc.providers.coze.steps import BotReader, WorkflowReader
from relay_svc.providers.coze.written import ChunkWriter, Stamp
from relay_svc.watches import watch
from tests.harness.fuzz import examples
from tests.unit.relay_svc.dialects.wrecks import CUTS, NOISE, pieces, torn
from tests.unit.relay_svc.test_coze import STREAM

STREAMED = [*map(Format, Dialect), Format.OPENAI]


@given(st.sampled_from(list(Dialect)), st.sampled_from(STREAMED), st.booleans(), st.booleans(), CUTS, st.data())
@examples(100)
def test_a_stream_that_passes_is_the_same_in_any_chunks(
    dialect: Dialect, read_as: Format, hides: bool, clean: bool, cuts: list[int], data: st.DataObject
) -> None:
    """Its events, its end, its tokens; read as its own format or as another."""
    stream = data.draw(torn(dialect))

    def passed(*chunks: bytes, framed: bool = False) -> tuple[object, ...]:
        watched = watch(read_as, b"text/event-stream", b"", hides_usage=hides)
        assert isinstance(watched, Passing)
        out = b""
        for chunk in filter(None, chunks):
            frame = b"%x\r\n%b\r\n" % (len(chunk), chunk)
            out += chunk if framed and watched.passes(frame, frame.index(b"\n") + 1) else watched.feed(chunk)
        ending = watched.end(clean=clean)
        # Blank lines between events may be the last of one or the first of the next, where line ends are mixed.
        return EventCutter().feed(out + ending.rest), ending.whole, ending.told, watched.usage()

    asked = passed(stream)
    assert passed(*pieces(stream, cuts)) == asked
    assert passed(*pieces(stream, cuts), framed=True) == asked
    assert passed(*re.split(rb"(?<=\n\n)|(?<=\r\n\r\n)", stream), framed=True) == asked


@given(st.sampled_from(list(Dialect)), CUTS, st.data())
@examples(100)
def test_content_begins_with_the_same_event_in_any_chunks(
    dialect: Dialect, cuts: list[int], data: st.DataObject
) -> None:
    """And an error before it is the same error."""
    stream = data.draw(torn(dialect))

    def opened(*chunks: bytes) -> tuple[object, bytes]:
        opening = Opening()
        for chunk in chunks:
            opening.feed(chunk)
        return opening.state, opening.error

    assert opened(*pieces(stream, cuts)) == opened(stream)


@given(st.booleans(), st.booleans(), st.lists(st.tuples(st.integers(0, len(STREAM)), NOISE), max_size=3), CUTS)
@examples(100)
def test_coze_says_the_same_in_any_chunks(
    bot: bool, usage: bool, noise: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    """Bots and workflows."""
    stream = STREAM
    for place, what in noise:
        stream = stream[:place] + what + stream[place:]

    def said(*chunks: bytes) -> bytes:
        reader = BotReader() if bot else WorkflowReader()
        writer = ChunkWriter(Stamp("1", 1, "m"), include_usage=usage)
        return b"".join(writer.write(reader.feed(chunk)) for chunk in chunks)

    assert said(*pieces(stream, cuts)) == said(stream)
