"""What the operator sees: progress with the time since the start, an answer as it streams, the summary.

Law: with --json standard output carries one line, the summary, and nothing else; all else goes to standard error. A
terminal that went away is no reason to stop serving.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Mapping
from typing import TextIO


class Terminal:
    """The operator's terminal."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._people: TextIO = sys.stderr if as_json else sys.stdout
        self._started = time.monotonic()

    def progress(self, text: str) -> None:
        """One step done, with the seconds since the start."""
        self._print(f"{time.monotonic() - self._started:6.1f} s  {text}\n", sys.stderr)

    def stream(self, text: str) -> None:
        """A piece of text, at once and without a line of its own."""
        self._print(text, self._people)

    def ready(self, summary: Mapping[str, object], text: str) -> None:
        """Everything is up: `summary` for programs, `text` for people."""
        self._print(text, self._people)
        if self._as_json:
            self._print(json.dumps(summary) + "\n", sys.stdout)

    @staticmethod
    def _print(text: str, stream: TextIO) -> None:
        with contextlib.suppress(OSError):
            stream.write(text)
            stream.flush()
