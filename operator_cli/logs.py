"""Log files of the children: appended to by descriptor, kept within a bound.

Law: a log never fills the disk. A child writes straight to its file, so the file cannot be renamed from under it; it is
copied aside and cut instead, which works because children append. The few lines written in between are lost.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

LIMIT = 32 * 1024 * 1024  # bytes a file; one older file of the same size is kept beside it
_LOOK_EVERY = 15.0  # seconds


def open_log(path: Path) -> BinaryIO:
    """The log at `path`, readable by its owner only, for a child to append to."""
    return open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600))


def trim(path: Path, limit: int = LIMIT) -> bool:
    """Move what `path` holds to `path`.1 when it has grown past `limit` bytes. Answers whether it did."""
    try:
        if path.stat().st_size <= limit:
            return False
    except FileNotFoundError:
        return False
    shutil.copyfile(path, path.with_name(path.name + ".1"))
    os.truncate(path, 0)
    return True


async def keep_trimmed(folder: Path, report: Callable[[str], None]) -> None:
    """Trim every log in `folder`, for ever."""
    while True:
        await asyncio.to_thread(_trim_all, folder, report)
        await asyncio.sleep(_LOOK_EVERY)


def _trim_all(folder: Path, report: Callable[[str], None]) -> None:
    for path in folder.glob("*.log"):
        try:
            trim(path)
        except OSError as error:
            report(f"cannot trim {path}: {error.strerror}")
