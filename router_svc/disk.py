"""Copies of the catalog in a directory of this router's own: two slots, so that one sound copy outlives any write.

The law: a write goes to a file of its own, is flushed, and takes the place of the slot that is not the newest sound copy, so
that a crash, a full disk or a power cut at any moment leaves a copy to start from. A copy is read only if its format, its
version and the checksum over all of it are right. Everything here blocks: call it in a thread.
"""

import contextlib
import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec

from router_svc.disk_format import VERSION, Heading, read_heading

_FORMAT: Final = b"trunkline catalog copy "
_MAGIC: Final = _FORMAT + b"%d\n" % VERSION
_SLOTS: Final = ("catalog.0", "catalog.1")
_WRITING: Final = "catalog.writing"
_LENGTH: Final = struct.Struct(">I")  # before each frame; zero ends them
_CHECKSUM: Final = hashlib.sha256
_CHECKSUM_BYTES: Final = 32
_CHUNK: Final = 1 << 20  # bytes


class Damage(Exception):  # noqa: N818 - what was found
    """A copy cannot be used; says why."""


class Copy(NamedTuple):
    """A sound copy, opened."""

    path: Path
    heading: Heading
    file: BinaryIO

    def frames(self) -> Iterator[bytes]:
        """Read the frames after the heading. Raises Damage and OSError."""
        self.file.seek(len(_MAGIC))
        _frame(self.file)
        while frame := _frame(self.file):
            yield frame

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class Slot(NamedTuple):
    """One of the two places, and what is in it."""

    path: Path
    copy: Copy | None
    fault: str
    """What is wrong with what is there; empty when that is sound, or when there is nothing."""


def survey(directory: Path) -> list[Slot]:
    """Look at both slots, the newest sound copy first. The copies are open; close them."""
    slots = [_look(directory / name) for name in _SLOTS]
    return sorted(slots, key=lambda slot: -slot.copy.heading.generation if slot.copy is not None else 1)


class Writing:
    """A copy in the making. Raises OSError throughout; `abandon` it then."""

    def __init__(self, directory: Path) -> None:
        """Open a file to write to, in a directory made if there is none, and find the slot that it is for."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        newest, oldest = survey(directory)
        for slot in (newest, oldest):
            if slot.copy is not None:
                slot.copy.close()
        self.generation = newest.copy.heading.generation + 1 if newest.copy is not None else 1
        self.faults = {slot.path: slot.fault for slot in (newest, oldest) if slot.fault}
        """What was found unfit in the directory."""
        self._slot = oldest.path
        self._path = directory / _WRITING
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(self._path, flags, 0o600), "wb")
        os.fchmod(self._file.fileno(), 0o600)  # whatever an older file of this name had
        self._sum = _CHECKSUM()
        self._put(_MAGIC)

    def add(self, frames: list[bytes]) -> None:
        """Write some frames; the first of all is the heading."""
        self._put(b"".join(part for frame in frames for part in (_LENGTH.pack(len(frame)), frame)))

    def finish(self) -> None:
        """End the copy, flush it, and put it in its slot."""
        self._put(_LENGTH.pack(0))
        self._file.write(self._sum.digest())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._path.replace(self._slot)
        directory = os.open(self._slot.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def abandon(self) -> None:
        """Remove what was written."""
        with contextlib.suppress(OSError):  # closing flushes, which may fail as the write did
            self._file.close()
        self._path.unlink(missing_ok=True)

    def _put(self, data: bytes) -> None:
        self._sum.update(data)
        self._file.write(data)


def _look(path: Path) -> Slot:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return Slot(path, None, "")
    except OSError as error:
        return Slot(path, None, error.strerror or type(error).__name__)
    try:
        return Slot(path, Copy(path, _checked(file), file), "")
    except (Damage, OSError, msgspec.MsgspecError) as fault:
        file.close()
        return Slot(path, None, str(fault))


def _checked(file: BinaryIO) -> Heading:
    """Read the heading of a file whose every byte is as it was written. Raises Damage."""
    if (found := file.read(len(_MAGIC))) != _MAGIC:
        ours = found.startswith(_FORMAT)
        raise Damage("is of another version" if ours else "is not of the format of a catalog's copy")
    summed, left = _CHECKSUM(_MAGIC), file.seek(0, os.SEEK_END) - len(_MAGIC) - _CHECKSUM_BYTES
    file.seek(len(_MAGIC))
    while left > 0 and (data := file.read(min(_CHUNK, left))):
        summed.update(data)
        left -= len(data)
    if left or file.read() != summed.digest():
        raise Damage("is cut short or altered: its checksum is wrong")
    file.seek(len(_MAGIC))
    return read_heading(_frame(file))


def _frame(file: BinaryIO) -> bytes:
    prefix = file.read(_LENGTH.size)
    if len(prefix) < _LENGTH.size:
        raise Damage("is cut short")
    [length] = _LENGTH.unpack(prefix)
    frame = file.read(length)
    if len(frame) < length:
        raise Damage("is cut short")
    return frame
