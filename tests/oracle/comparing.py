"""What differs between two JSON values, by path, and what has been judged of it.

The law: pure. A place in a list is part of a path as `*`, so that one verdict holds for a list of any length. A verdict names
differences by patterns; the first that fits counts. One that fits nothing has outlived its difference, and is told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True, order=True)
class Difference:
    """One place that differs; a side that has nothing there has None."""

    what: str
    client: str
    upstream: str
    feature: str
    path: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        """Say it on one line."""
        where = f"{self.what} {self.client} → {self.upstream}, {self.feature}: {self.path}"
        return f"{where}\n      ours    {self.ours}\n      theirs  {self.theirs}"


@dataclass
class Verdict:
    """What is thought of some differences: whose side is right (`ours`, `theirs`, `either`), and why."""

    right: str
    why: str
    what: str = "*"
    client: str = "*"
    upstream: str = "*"
    feature: str = "*"
    path: str | list[str] = "*"
    ours: str = "*"
    theirs: str = "*"
    held: int = field(default=0, init=False)
    """How many differences it was found to hold for."""

    def holds(self, difference: Difference) -> bool:
        """Tell whether it speaks of a difference."""
        paths = [self.path] if isinstance(self.path, str) else self.path
        return any(fnmatchcase(difference.path, path) for path in paths) and all(
            fnmatchcase(str(getattr(difference, name)), getattr(self, name))
            for name in ("what", "client", "upstream", "feature", "ours", "theirs")
        )


def judge(differences: list[Difference], verdicts: list[Verdict]) -> list[Difference]:
    """Count what each verdict holds for; give what none does."""
    unjudged = []
    for difference in differences:
        verdict = next((verdict for verdict in verdicts if verdict.holds(difference)), None)
        if verdict is None:
            unjudged.append(difference)
        else:
            verdict.held += 1
    return unjudged


def differing(ours: Any, theirs: Any) -> Iterator[tuple[str, str, str]]:
    """Give the paths at which two values differ, with what stands on either side."""
    left, right = _flat(ours), _flat(theirs)
    for path in sorted(left.keys() | right.keys()):
        one, other = left.get(path, []), right.get(path, [])
        if one != other:
            yield path, _shown(one), _shown(other)


def alike(value: Any, *, camel: bool = False) -> Any:
    """Bring to one what means the same: arguments of calls as JSON, and names of members where both spellings are read."""
    if isinstance(value, list):
        return [alike(member, camel=camel) for member in value]
    if not isinstance(value, dict):
        return value
    return {
        _camel(name) if camel else name: _read(member) if name == "arguments" else alike(member, camel=camel)
        for name, member in value.items()
    }


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _read(arguments: Any) -> Any:
    try:
        return json.loads(arguments)
    except (TypeError, ValueError):
        return arguments


def _flat(value: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for path, leaf in _leaves(value, ""):
        found.setdefault(path, []).append(leaf)
    return found


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, member in value.items():
            yield from _leaves(member, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value:
        for member in value:
            yield from _leaves(member, f"{path}.*")
    elif value is not None:
        yield path, value


def _shown(values: list[Any]) -> str:
    return ", ".join(map(repr, values))[:200] if values else "nothing"
