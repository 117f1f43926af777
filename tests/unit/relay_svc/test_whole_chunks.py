"""Chunks that pass unparsed: only what the parser would have read as one chunk, from where it stands.

The parser itself is the oracle: a twin that parses everything must have read the same body, and stand at the same end.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.upstream_http1.response import Reader
from tests.harness.fuzz import examples

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
HELLO = b"5\r\nhello\r\n"
END = b"0\r\n\r\n"
HOSTILE = st.sampled_from(
    [
        HELLO,
        b"00005\r\nhello\r\n",
        b"0000005\r\nhello\r\n",
        b"00000005\r\nhello\r\n",
        b"A\r\nhellohello\r\n",
        b"2\r\n\r\n\r\n",
        b"7\r\n5\r\nhe\r\n\r\n",
        b"5;a=b\r\nhello\r\n",
        b'5;a="b\r\n"\r\nhello\r\n',
        b"5 \r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"5_\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b"5\nhello\r\n",
        b"5\r\nhello\n",
        b"5\r\nhello",
        b"5\r\nhell\r\n",
        b"5\r\nhelloo\r\n",
        b"6\r\nhello\r\n",
        b"5\r",
        b"5",
        b";x=\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"hello\r\n",
        END,
        b"0\r\n",
        b"0;x\r\n\r\n",
        b"0\r\nx-t: 5\r\n\r\n",
        b"x-t: y\r\n",
        b"ffffffffffffffff\r\n",
        b"fffffff\r\nhello\r\n",
        HELLO + END,
        HELLO + HELLO,
        HELLO + b"5\r\n",
        HELLO + b"x",
    ]
)


def passed(reader: Reader, parts: list[bytes], *, whole: bool) -> tuple[bytes, bool, bool, bool]:
    """What a connection that pours makes of these parts: the body, and how the reader stands."""
    body = b""
    for part in parts:
        if reader.over or reader.surplus:
            break
        if whole and (start := reader.whole_chunk(part)):
            body += part[start:-2]
            continue
        reader.feed(part)
        body += reader.take()
    return body, reader.complete, bool(reader.fault), reader.surplus


def agree(parts: list[bytes]) -> None:
    """Both ways read the same."""
    assert passed(Reader(), [HEAD, *parts], whole=True) == passed(Reader(), [HEAD, *parts], whole=False)


@examples(600)
@given(st.lists(HOSTILE, max_size=8))
def test_hostile_framing_is_read_as_the_parser_reads_it(parts: list[bytes]) -> None:
    """Part by part, as they are."""
    agree(parts)


@examples(300)
@given(st.lists(HOSTILE, max_size=6), st.lists(st.integers(0, 80), max_size=6))
def test_hostile_framing_cut_anywhere_is_read_as_the_parser_reads_it(parts: list[bytes], cuts: list[int]) -> None:
    """A size line, its end, the bytes and their end may each come apart."""
    wire = b"".join(parts)
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    agree([wire[begin:end] for begin, end in itertools.pairwise(edges) if end > begin])


@examples(300)
@given(st.lists(st.text("05;a\r\n", max_size=12).map(str.encode), max_size=6))
def test_any_bytes_of_framing_are_read_as_the_parser_reads_them(parts: list[bytes]) -> None:
    """Of the characters that framing is made of."""
    agree([HELLO, *filter(None, parts)])


@pytest.mark.parametrize(
    "before",
    [b"", b"5\r\nhel", b"5\r\nhello", b"5\r\nhello\r", b"5", b"5\r\n", b"0\r\n", HELLO + b"5\r\n", HELLO + b"zz"],
)
def test_no_chunk_is_taken_whole_where_none_begins(before: bytes) -> None:
    """Nor after a fault."""
    reader = Reader()
    reader.feed(HEAD)
    if before:
        reader.feed(before)
    assert not reader.whole_chunk(HELLO)


def test_a_body_with_a_length_has_no_chunks() -> None:
    """Though it looks like one, and though the last answer on the connection had some."""
    reader = Reader()
    reader.feed(HEAD + HELLO)
    assert reader.whole_chunk(HELLO) == 3
    reader.feed(END)
    assert reader.complete
    reader.begin()
    reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n" + HELLO)
    assert not reader.whole_chunk(HELLO)


def test_the_parser_goes_on_behind_a_chunk_that_it_never_saw() -> None:
    """To the end, and to the next answer."""
    reader = Reader()
    reader.feed(HEAD + HELLO)
    assert [reader.whole_chunk(HELLO) for _ in range(3)] == [3] * 3
    reader.feed(b"2\r\nyo\r\n" + END)
    assert (reader.take(), reader.complete, reader.keep_alive, reader.surplus) == (b"helloyo", True, True, False)
