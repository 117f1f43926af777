"""What a translation could not carry.

The law: nothing is dropped in silence. A loss is noted by name; when the caller is strict it raises instead. What the
request cannot do without (an image, the rest of a conversation kept elsewhere) is *essential* and always raises.

Names of ours are plain words (`logprobs`, `tools.strict`). Members that nobody here knows are noted as the client spelled
them, made safe for a header, and count under one label, so that a client cannot fill the metrics with names.
"""

import re
from typing import Final, NoReturn

from relay_svc.dialects.faults import CannotCarry

MAX_NAMES: Final = 32
"""Most names kept; more are counted as `more`."""
UNKNOWN: Final = "unknown"
_LONGEST: Final = 48
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]")


class Losses:
    """The losses of one request or one answer, in the order they were found."""

    __slots__ = ("_names", "_strict")

    def __init__(self, *, strict: bool = False) -> None:
        """Begin with none; a strict one raises CannotCarry at the first."""
        self._names: dict[str, bool] = {}
        self._strict = strict

    def add(self, name: str) -> None:
        """Note a loss by a name of ours. Raises CannotCarry when strict."""
        self._note(name, known=True)

    def unknown(self, where: str, name: str) -> None:
        """Note a member that no dialect here knows, as the client spelled it. Raises CannotCarry when strict."""
        safe = _UNSAFE.sub("_", name[:_LONGEST])
        self._note(f"{where}.{safe}" if where else safe, known=False)

    def essential(self, name: str) -> NoReturn:
        """Refuse: without it the request would mean something else."""
        raise CannotCarry(name)

    def copy(self) -> "Losses":
        """Give losses that go on from these: a request is read once and may be written for several candidates."""
        other = Losses(strict=self._strict)
        other._names.update(self._names)
        return other

    def lenient(self) -> "Losses":
        """Give the same losses for what only notes them: both note into one list."""
        other = Losses()
        other._names = self._names
        return other

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, for a header."""
        return tuple(self._names)

    @property
    def labels(self) -> frozenset[str]:
        """Names from a closed set, for a metric."""
        return frozenset(name if known else UNKNOWN for name, known in self._names.items())

    def header(self) -> bytes:
        """Give the names as a header's value; empty when nothing was lost."""
        return ", ".join(self._names).encode("ascii", "replace")

    def __bool__(self) -> bool:
        return bool(self._names)

    def _note(self, name: str, *, known: bool) -> None:
        if self._strict:
            raise CannotCarry(name)
        if len(self._names) < MAX_NAMES or name in self._names:
            self._names.setdefault(name, known)
        else:
            self._names["more"] = True
