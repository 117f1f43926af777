"""Cutting streams into pieces."""

import json

from hypothesis import given
from hypothesis import strategies as st

from relay_svc.dialects.sse import MAX_PIECE, ArrayCutter, EventCutter, Piece
from tests.harness.fuzz import examples

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('"\\[]{},a\u2028é\n', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('"\\}', max_size=3), inner, max_size=3),
    max_leaves=10,
)


def test_events_are_read_as_the_standard_says() -> None:
    """Names, comments, several lines of data, no space after the colon, a byte order mark, other fields."""
    stream = b"\xef\xbb\xbf: hello\nevent: a\ndata: 1\ndata:2\nid: 7\nretry: 3\n\ndata\n\n\n\n"
    stream += b"event: lost\n\ndata: x\n\ndata: open"
    assert EventCutter().feed(stream) == [("a", b"1\n2"), ("", b""), ("", b"x")]


@given(
    st.lists(st.dictionaries(st.text(max_size=3), JSON, max_size=3), max_size=4), st.sampled_from([None, 1]), st.data()
)
@examples(100)
def test_an_array_is_cut_into_its_objects(objects: list[object], indent: int | None, data: st.DataObject) -> None:
    """Whatever is in the strings, and however the bytes are cut."""
    text = json.dumps(objects, indent=indent, ensure_ascii=False).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    cutter = ArrayCutter()
    pieces: list[Piece] = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        pieces += cutter.feed(text[start:end])
    assert [json.loads(piece) for _, piece in pieces] == objects
    assert not cutter.fault
    assert cutter.held == 0


def test_what_is_no_array_of_objects_is_a_fault() -> None:
    """The pieces before it are given."""
    for text in (b"{}", b"[1]", b"[{}] x", b"[[{}]]", b"]", b"<html>"):
        cutter = ArrayCutter()
        cutter.feed(text)
        assert cutter.fault
    cutter = ArrayCutter()
    assert cutter.feed(b'[{"a":1}, oops') == [("", b'{"a":1}')]


def test_no_more_than_one_piece_is_held_and_that_is_bounded() -> None:
    """An event without an end, lines without an end, an element without an end."""
    for cutter, filler, first in (
        (EventCutter(), b"x" * (1 << 20), b"data: "),
        (EventCutter(), b"data:\n" * (1 << 16), b""),
        (ArrayCutter(), b"x" * (1 << 20), b'[{"'),
    ):
        cutter.feed(first)
        for _ in range(MAX_PIECE // (1 << 16)):
            cutter.feed(filler)
            assert cutter.held <= MAX_PIECE + len(filler) * 64
            if cutter.fault:
                break
        assert cutter.fault
        assert cutter.feed(b"\n\ndata: 1\n\n") == []
