"""Reading answers, without a connection."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.upstream_http1.response import MAX_HEAD, MAX_HEADERS, Reader

HELLO = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def fed(*parts: bytes) -> Reader:
    """A reader that was fed these."""
    reader = Reader()
    for part in parts:
        reader.feed(part)
    return reader


def test_answers_follow_one_another() -> None:
    """Each with its own head and body."""
    reader = Reader()
    for number in range(3):
        reader.begin()
        assert (reader.status, reader.headers, reader.complete, reader.started) == (0, [], False, False)
        reader.feed(b"HTTP/1.1 20%d OK\r\ncontent-length: 1\r\nx-n: %d\r\n\r\n%d" % (number, number, number))
        assert (reader.status, reader.complete, reader.keep_alive) == (200 + number, True, True)
        assert reader.headers[1] == (b"x-n", b"%d" % number)
        assert reader.take() == b"%d" % number
        assert not reader.unread


def test_spaces_around_a_value_are_no_part_of_it() -> None:
    """Before or behind."""
    assert fed(b"HTTP/1.1 204 X\r\nx-a: \t b \t \r\n\r\n").headers == [(b"x-a", b"b")]


def test_headers_of_interim_answers_are_not_the_answers() -> None:
    """Nor their framing."""
    reader = fed(b"HTTP/1.1 103 X\r\ncontent-length: 9\r\ntransfer-encoding: x\r\n\r\n")
    assert reader.fault
    reader = fed(b"HTTP/1.1 103 X\r\ncontent-length: 9\r\nx-a: b\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo")
    assert (reader.headers, reader.take(), reader.complete) == ([], b"hello", False)
    reader.end()
    assert (reader.complete, reader.fault) == (True, "")


def test_trailers_are_no_headers() -> None:
    """Nobody has looked at them when the head is passed on."""
    reader = fed(CHUNKED + b"5\r\nhello\r\n0\r\n", b"x-late: 1\r\n\r\n")
    assert reader.complete
    assert reader.headers == [(b"transfer-encoding", b"chunked")]


@pytest.mark.parametrize("tail", [b"x", b"HTTP/1.1 200 OK\r\n\r\n", HELLO])
def test_nothing_after_an_answer_is_taken_for_a_part_of_it(tail: bytes) -> None:
    """It is noted, and that is all."""
    reader = fed(HELLO + tail)
    assert (reader.take(), reader.complete, reader.surplus, reader.fault) == (b"hello", True, True, "")
    assert reader.headers == [(b"content-length", b"5")]


def test_a_reader_that_was_let_go_holds_no_half_an_answer_for_a_whole_one() -> None:
    """Not even one that would have ended with the connection."""
    reader = fed(b"HTTP/1.1 200 OK\r\n\r\nhel")
    reader.close()
    reader.end()
    reader.feed(b"lo")
    assert (reader.take(), reader.complete) == (b"hel", False)
    assert reader.fault


@pytest.mark.parametrize(("count", "good"), [(MAX_HEADERS, True), (MAX_HEADERS + 1, False)])
def test_headers_are_counted(count: int, *, good: bool) -> None:
    """In the head, and over all interim answers."""
    lines = [b"x-%d: y\r\n" % number for number in range(count - 1)]
    at = len(lines) // 2
    for begin in (b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 102 X\r\n" + b"".join(lines[:at]) + b"\r\nHTTP/1.1 200 OK\r\n"):
        reader = fed(begin + b"".join(lines[at if b"102" in begin else 0 :]) + b"content-length: 0\r\n\r\n")
        assert reader.complete is good
        assert bool(reader.fault) is not good


@pytest.mark.parametrize(("size", "good"), [(MAX_HEAD - 100, True), (MAX_HEAD + 1, False)])
def test_heads_are_bounded_in_bytes_however_they_come(size: int, *, good: bool) -> None:
    """At once with a large body, or in pieces."""
    wire = b"HTTP/1.1 200 OK\r\ncontent-length: 200000\r\nx: " + b"y" * size + b"\r\n\r\n" + b"z" * 200_000
    for step in (len(wire), 1000):
        reader = fed(*(wire[at : at + step] for at in range(0, len(wire), step)))
        assert reader.complete is good
        assert bool(reader.fault) is not good


def test_lines_among_chunks_are_bounded_and_chunks_are_not() -> None:
    """A stream of any length passes; an extension or a trailer without end does not."""
    reader = fed(CHUNKED)
    for _ in range(10_000):
        reader.feed(b"a;x=y\r\n0123456789\r\n")
        assert len(reader.take()) == 10
    assert not reader.fault
    for begin in (b"5;x=", b"0\r\nx-late: "):
        reader = fed(CHUNKED, begin, *([b"y" * 1000] * 100))
        assert reader.fault == "the answer's lines are too long"


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_no_bytes_are_too_much_for_it(noise: bytes, where: list[int]) -> None:
    """Whatever comes, it ends in an answer or in a fault, never in an exception."""
    edges = [0, *sorted(where), len(noise)]
    for before in (b"", b"HTTP/1.1 200 OK\r\n", CHUNKED, HELLO):
        reader = fed(before, *(noise[begin:end] for begin, end in itertools.pairwise(edges)))
        reader.end()
        assert reader.complete != bool(reader.fault)
