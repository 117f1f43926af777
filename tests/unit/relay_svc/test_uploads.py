"""What is held of a form until its model is known: in memory as far as the bound, in a file what is past it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, cast

import pytest

from relay_svc import uploads
from relay_svc.errors import HttpRefusal
from relay_svc.multipart import Form
from relay_svc.uploads import MOST_SPILLED, Spills, Upload

HELD = 1000
TYPE = b"multipart/form-data; boundary=xYz"
END = b"--xYz--\r\n"


class Incoming:
    """A body that is here in pieces."""

    def __init__(self, *pieces: bytes) -> None:
        """Take the pieces."""
        self._pieces = list(pieces)

    @property
    def over(self) -> bool:
        """Whether all has been taken."""
        return not self._pieces

    @property
    def left(self) -> int:
        """Bytes still to be taken."""
        return sum(map(len, self._pieces))

    def take(self) -> bytes:
        """Take a piece."""
        return self._pieces.pop(0) if self._pieces else b""

    def tell(self, wake: Callable[[], None]) -> None:
        """Not asked for."""

    def close(self) -> None:
        """Wait for nothing."""


def part(name: str, value: bytes) -> bytes:
    """One part of a form."""
    return b'--xYz\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), value)


def upload_of(body: bytes, spills: Spills, *sizes: int) -> Upload:
    """An upload of a body that comes in pieces of these sizes, in turn."""
    pieces, again = [], itertools.cycle(sizes)
    while body:
        size = next(again)
        pieces.append(body[:size])
        body = body[size:]
    return Upload(cast("Any", Incoming(*pieces)), TYPE, HELD, spills)


def sent(upload: Upload, model: str) -> bytes:
    """All that goes up."""
    sending, went = upload.addressed_to(model), b""
    while not sending.over:
        left = sending.left
        piece = sending.take()
        went += piece
        assert sending.left == (left or 0) - len(piece)
    return went


@pytest.mark.parametrize("size", [1, 7, 100, HELD - 1, HELD, 5000])
@pytest.mark.parametrize("file", [10, HELD - 200, HELD - 100, HELD - 60, HELD, 3 * HELD])
async def test_what_is_held_goes_up_whole_wherever_it_is(monkeypatch: pytest.MonkeyPatch, size: int, file: int) -> None:
    """Twice, with another model: in memory, in a file, on both sides; and nothing is left in the end."""
    monkeypatch.setattr(uploads, "_SLICE", min(size, 300))
    body = part("file", b"f" * file) + part("model", b"whisper") + part("language", b"en") + END
    upload = upload_of(body, spills := Spills(), size, size // 3 + 1)
    opened = await upload.open()
    meant = body.replace(b"whisper", b"other")
    if isinstance(opened, Form):
        assert (opened.body, opened.model) == (body, "whisper")
        assert len(body) <= HELD
    else:
        assert [sent(opened, "other"), opened.again and opened.addressed_to("other").rewind()] == [meant, True]
        assert sent(opened, "other") == meant
    upload.close()
    assert spills.bytes == 0


@pytest.mark.parametrize(("size", "in_memory"), [(100, HELD), (300, 900), (HELD, HELD), (5000, 0)])
async def test_only_what_is_past_the_bound_is_in_a_file(size: int, in_memory: int) -> None:
    """What is in memory stays there: to write it all at once would hold everybody up."""
    body = part("file", b"f" * 3000) + part("model", b"m") + END
    upload = upload_of(body, spills := Spills(), size)
    assert await upload.open() is upload
    assert upload.held - spills.bytes == in_memory
    upload.close()
    assert spills.bytes == 0


async def test_files_are_bounded_over_all_forms() -> None:
    """A form that does not fit any more is told to come again; what it held in a file counts no more."""
    spills = Spills()
    spills.bytes = MOST_SPILLED - 500
    upload = upload_of(part("file", b"f" * 3000) + part("model", b"m") + END, spills, 200)
    with pytest.raises(HttpRefusal) as caught:
        await upload.open()
    assert (caught.value.status, caught.value.reason) == (503, "OVERLOADED")
    assert spills.bytes <= MOST_SPILLED
    upload.close()
    assert spills.bytes == MOST_SPILLED - 500
