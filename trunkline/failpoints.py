"""Named places in the code where a process can be told to die, so that tests can see what a crash just there leaves behind.

The law: a failpoint does nothing unless the settings armed it by name, and then it kills the whole process as a power cut
would: SIGKILL, so no handler, no `finally` and no flush runs. Where failpoints stand, and what a crash there must not break,
is for the rooms and their tests to say.
"""

import os
import re
import signal
from collections.abc import Mapping
from typing import Final

_KILL: Final = re.compile(r"(?P<name>[a-z0-9_.]+)=kill(@(?P<passage>[1-9][0-9]*))?")
_armed: dict[str, int] = {}
"""Passages left until the process dies, by name. Of the whole process, for it is the whole process that dies."""


def failpoint(name: str) -> None:
    """Pass a named place; die there if that was asked for."""
    if _armed and name in _armed:
        _armed[name] -= 1
        if not _armed[name]:
            os.kill(os.getpid(), signal.SIGKILL)


def arm(text: str) -> None:
    """Arm failpoints: `name=kill` dies at the next passage, `name=kill@5` at the fifth. Raises ValueError."""
    armed = parse(text)
    _armed.clear()
    _armed.update(armed)


def parse(text: str) -> Mapping[str, int]:
    """Read which failpoints to arm, at which passage each kills. Raises ValueError."""
    armed: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _KILL.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is not `name=kill` or `name=kill@N`")
        armed[match["name"]] = int(match["passage"] or 1)
    return armed


def at_fault(text: str) -> str | None:
    """Tell what is wrong with a setting that arms failpoints; None when nothing is."""
    try:
        parse(text)
    except ValueError as fault:
        return str(fault)
    return None
