"""What the canned upstream answers with."""

from __future__ import annotations

import pytest

from bench.canned import CHUNKS, answer_of


@pytest.mark.parametrize("chunks", [1, 2, 21, 1000])
def test_a_stream_is_as_many_writes_as_chunks_and_ends_with_done(chunks: int) -> None:
    """The head travels with the first and the end with the last, so that a stream costs its chunks and nothing else."""
    writes = answer_of(b"/chunks=%d/v1/chat/completions" % chunks).writes
    assert len(writes) == chunks
    assert writes[0].startswith(b"HTTP/1.1 200 OK")
    assert writes[-1].endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


def test_a_path_asks_for_a_size() -> None:
    """An answer has exactly the bytes asked for."""
    head, _, body = answer_of(b"/bytes=100000/v1/chat/completions").whole.partition(b"\r\n\r\n")
    assert len(body) == 100_000
    assert b"content-length: 100000" in head


def test_a_held_stream_stays_open_after_its_first_chunk() -> None:
    """Idle streams are held by it."""
    assert len(answer_of(b"/hold=1/v1/chat/completions").writes) == 1


def test_a_plain_path_gets_the_plain_answers() -> None:
    """Peers ask for nothing special."""
    assert len(answer_of(b"/v1/chat/completions").writes) == CHUNKS
