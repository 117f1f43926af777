r"""What a channel changes in a request's body: one JSON value, read once and applied to many documents.

An object names top-level members and their values. An array lists operations, carried out in order:

    {"op": "set", "path": "a.b.0", "value": …}      put the value there, making the objects on the way
    {"op": "default", "path": "a.b", "value": …}    put it there only where nothing is, or null
    {"op": "delete", "path": "a.b"}                 take away what is there
    {"op": "rename", "path": "a", "to": "b.c"}      move it; what is at the new place already stays and wins
    … "when": {"model": "gpt-4*", "path": ["/v1/chat/completions", …]}

A path's steps stand between dots (`\.` is a dot within a name, `\\` a backslash); in a list a step is a position, and the
one past the end appends. Where a path meets a value that has no members, or a position that is not there, the operation
passes over the document. Patterns of `when` may end in `*`; of a list of them one must match: the model by the name that the
upstream knows, the path as the client called it.

The law: pure, and bounded in everything. A document given is never changed, and shares with the answer what no operation
touched. What routing decided upon, `model` and `stream` at the top, is out of reach. A fault names an operation and its
member, never a value.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, cast

import msgspec

LONGEST: Final = 65_536
"""Characters of the whole as JSON."""
MOST_OPERATIONS: Final = 64
MOST_PATTERNS: Final = 32
LONGEST_PATTERN: Final = 256
LONGEST_PATH: Final = 512
DEEPEST: Final = 16
"""Steps of a path, and levels of a value."""
ROUTED: Final = frozenset({"model", "stream"})
"""Top-level members that no override may touch, in any case: upstreams written in Go do not tell cases apart."""

Kind = Literal["set", "default", "delete", "rename"]
Step = str
Path = tuple[Step, ...]

_KINDS: Final = ("set", "default", "delete", "rename")
_MEMBERS: Final = frozenset({"op", "path", "value", "to", "when"})
_CONDITIONS: Final = ("model", "path")
_NOTHING: Final = object()


class OverridesFault(ValueError):  # noqa: N818 - what is wrong with what was written, and not with the program
    """What is wrong with overrides: in which operation, in which member (None: in none of its own), and why."""

    def __init__(self, index: int | None, member: str | None, description: str) -> None:
        """Keep where and what; none of it shows a value."""
        self.index = index
        self.member = member
        self.description = description
        place = "" if index is None else f"operation {index}"
        super().__init__(": ".join(part for part in (place, member, description) if part))


class When(msgspec.Struct, frozen=True):
    """For which requests an operation is meant: patterns of models and of paths; none of a kind, all of it."""

    model: tuple[str, ...] = ()
    path: tuple[str, ...] = ()

    def holds(self, model: str, path: str) -> bool:
        """Tell whether it is meant for a request."""
        return _matches(self.model, model) and _matches(self.path, path)


class Operation(msgspec.Struct, frozen=True):
    """One step of the shaping of a document."""

    op: Kind
    path: Path
    value: Any = None
    to: Path = ()
    when: When | None = None


class Overrides(msgspec.Struct, frozen=True):
    """Operations in their order."""

    operations: tuple[Operation, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether there is any operation."""
        return bool(self.operations)

    def touches_nothing(self, model: str, path: str) -> bool:
        """Tell, without the document, that nothing is meant for a request."""
        return not any(operation.when is None or operation.when.holds(model, path) for operation in self.operations)

    def apply(self, document: dict[str, Any], model: str, path: str) -> dict[str, Any]:
        """Give the document as the operations make it; the same one when none is meant for the request.

        Members may be `msgspec.Raw`; one is read only when a path leads into it.
        """
        for operation in self.operations:
            if operation.when is None or operation.when.holds(model, path):
                document = _applied(operation, document)
        return document


NO_OVERRIDES: Final = Overrides()


def parse(text: str | bytes) -> Overrides:
    """Read overrides; empty text and null are none. Raises OverridesFault."""
    if len(text) > LONGEST:
        raise OverridesFault(None, None, f"must be at most {LONGEST:,} characters long")
    if not text.strip():
        return NO_OVERRIDES
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise OverridesFault(None, None, "is not JSON") from None
    for fault in faults_of(value):
        raise fault
    return _read(value)


def faults_of(value: object) -> list[OverridesFault]:
    """Find everything that is wrong with overrides given as a JSON value; nothing when `parse` would take their text."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return list(_faults_of_members(value))
    if not isinstance(value, list | tuple):
        return [OverridesFault(None, None, "must be an object or a list of operations")]
    if len(value) > MOST_OPERATIONS:
        return [OverridesFault(None, None, f"must have at most {MOST_OPERATIONS} operations, not {len(value):,}")]
    return [
        OverridesFault(index, member, why)
        for index, operation in enumerate(value)
        for member, why in _faults_of_operation(operation)
    ]


# --- what may be written ---------------------------------------------------------------------------------------------

_Fault = tuple[str | None, str]


def _faults_of_members(members: Mapping[Any, Any]) -> Iterator[OverridesFault]:
    if len(members) > MOST_OPERATIONS:
        yield OverridesFault(None, None, f"must have at most {MOST_OPERATIONS} members, not {len(members):,}")
        return
    for name, value in members.items():
        if not name:
            yield OverridesFault(None, name, "must have a name")
        elif name.lower() in ROUTED:
            yield OverridesFault(None, name, _OF_ROUTING)
        if not is_within({name: value}, DEEPEST):
            yield OverridesFault(None, name, _TOO_DEEP)


_OF_ROUTING: Final = "is what routing decided upon and cannot be replaced; see `model_mapping`"
_TOO_DEEP: Final = f"is nested deeper than {DEEPEST} levels"


def _faults_of_operation(operation: object) -> Iterator[_Fault]:
    if not isinstance(operation, Mapping):
        yield None, "must be an object"
        return
    kind = operation.get("op")
    known = isinstance(kind, str) and kind in _KINDS
    if not known:
        yield "op", f"must be one of {', '.join(_KINDS)}"
    yield from _faults_of_path("path", operation.get("path"))
    if known:
        yield from _faults_of_target(operation) if kind == "rename" else _faults_of_needless("to", operation)
        valued = kind in ("set", "default")
        yield from _faults_of_value(operation) if valued else _faults_of_needless("value", operation)
    if "when" in operation:
        yield from _faults_of_when(operation["when"])
    if not operation.keys() <= _MEMBERS:
        yield None, f"may have {', '.join(sorted(_MEMBERS))} and nothing else"


def _faults_of_needless(member: str, operation: Mapping[Any, Any]) -> Iterator[_Fault]:
    if member in operation:
        yield member, f"has no meaning for {operation['op']}"


def _faults_of_value(operation: Mapping[Any, Any]) -> Iterator[_Fault]:
    if "value" not in operation:
        yield "value", "must be given"
    elif not is_within(operation["value"], DEEPEST):
        yield "value", _TOO_DEEP


def _faults_of_path(member: str, text: object) -> Iterator[_Fault]:
    if not isinstance(text, str) or not text:
        yield member, "must be a path, such as a.b.0"
    elif len(text) > LONGEST_PATH:
        yield member, f"must be at most {LONGEST_PATH:,} characters long"
    else:
        steps = _steps(text)
        if steps is None or not all(steps):
            yield member, "has an empty step, or a backslash that stands for nothing"
        elif len(steps) > DEEPEST:
            yield member, f"must have at most {DEEPEST} steps"
        elif steps[0].lower() in ROUTED:
            yield member, _OF_ROUTING


def _faults_of_target(operation: Mapping[Any, Any]) -> Iterator[_Fault]:
    faults = list(_faults_of_path("to", operation.get("to")))
    yield from faults
    source = operation.get("path")
    if faults or not isinstance(source, str):
        return
    here, there = _steps(source), _steps(operation["to"])
    if here and there and (here[: len(there)] == there or there[: len(here)] == here):
        yield "to", "must not lead to or through what is renamed, nor the other way round"


def _faults_of_when(when: object) -> Iterator[_Fault]:
    if not isinstance(when, Mapping) or not when:
        yield "when", "must be an object with a model, a path or both"
        return
    if not when.keys() <= set(_CONDITIONS):
        yield "when", f"may have {' and '.join(_CONDITIONS)} and nothing else"
    for name in _CONDITIONS:
        if name in when:
            yield from _faults_of_patterns(f"when.{name}", when[name])


def _faults_of_patterns(member: str, given: object) -> Iterator[_Fault]:
    patterns = [given] if isinstance(given, str) else given
    if not isinstance(patterns, list | tuple) or not patterns:
        yield member, "must be a pattern, or a list of patterns"
    elif len(patterns) > MOST_PATTERNS:
        yield member, f"must have at most {MOST_PATTERNS} patterns"
    elif not all(isinstance(pattern, str) and 0 < len(pattern) <= LONGEST_PATTERN for pattern in patterns):
        yield member, f"must hold patterns of 1 to {LONGEST_PATTERN} characters"
    elif any("*" in pattern[:-1] for pattern in patterns):
        yield member, "may hold `*` only as a pattern's last character"


def is_within(value: object, levels: int) -> bool:
    """Tell whether a JSON value has at most so many levels."""
    if isinstance(value, Mapping):
        return levels > 0 and all(is_within(child, levels - 1) for child in value.values())
    if isinstance(value, list | tuple):
        return levels > 0 and all(is_within(child, levels - 1) for child in value)
    return levels > 0


# --- reading what is sound -------------------------------------------------------------------------------------------


def _read(value: Any) -> Overrides:
    if not value:
        return NO_OVERRIDES
    if isinstance(value, Mapping):
        return Overrides(tuple(Operation("set", (name,), member) for name, member in value.items()))
    return Overrides(tuple(map(_operation, value)))


def _operation(written: Mapping[str, Any]) -> Operation:
    when = written.get("when")
    return Operation(
        op=written["op"],
        path=_steps(written["path"]) or (),
        value=written.get("value"),
        to=_steps(written.get("to", "")) or (),
        when=None if when is None else When(*(_patterns(when.get(name, ())) for name in _CONDITIONS)),
    )


def _patterns(given: Any) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _steps(text: str) -> Path | None:
    """Take a path apart; None when a backslash stands for nothing."""
    if "\\" not in text:
        return tuple(text.split("."))
    steps, step, characters = [], "", iter(text)
    for character in characters:
        if character == ".":
            steps.append(step)
            step = ""
            continue
        if character == "\\":
            character = next(characters, "")  # noqa: PLW2901 - what the backslash stands before
            if character not in ("\\", "."):
                return None
        step += character
    return (*steps, step)


def _matches(patterns: tuple[str, ...], name: str) -> bool:
    return not patterns or any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns
    )


# --- applying --------------------------------------------------------------------------------------------------------


def _applied(operation: Operation, document: dict[str, Any]) -> dict[str, Any]:
    found = _at(document, operation.path)
    match operation.op:
        case "set":
            changed = _with(document, operation.path, operation.value)
        case "default" if found is _NOTHING or _is_null(found):
            changed = _with(document, operation.path, operation.value)
        case "delete" if found is not _NOTHING:
            changed = _without(document, operation.path)
        case "rename" if found is not _NOTHING:
            changed = _renamed(document, operation, found)
        case _:
            return document
    return document if changed is _NOTHING else cast("dict[str, Any]", changed)


def _renamed(document: dict[str, Any], operation: Operation, found: Any) -> Any:
    there = _at(document, operation.to)
    if there is not _NOTHING and not _is_null(there):
        return _without(document, operation.path)
    # Put before taking away: a place that cannot be reached loses nothing, and no position has moved yet.
    put = _with(document, operation.to, found)
    return _NOTHING if put is _NOTHING else _without(put, operation.path)


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = _opened(value)
        if isinstance(value, dict):
            value = value.get(step, _NOTHING)
        elif isinstance(value, list):
            position = _position(step, len(value))
            value = _NOTHING if position is None or position == len(value) else value[position]
        else:
            return _NOTHING
    return value


def _with(value: Any, path: Path, put: Any) -> Any:
    """Give a value with another put at a path below it; `_NOTHING` when there is no such place."""
    if not path:
        return put
    step, rest = path[0], path[1:]
    value = _opened(value)
    if value is None or value is _NOTHING:
        value = {}
    if isinstance(value, dict):
        child = _with(value.get(step, _NOTHING), rest, put)
        return _NOTHING if child is _NOTHING else {**value, step: child}
    if not isinstance(value, list) or (position := _position(step, len(value))) is None:
        return _NOTHING
    child = _with(value[position] if position < len(value) else _NOTHING, rest, put)
    return _NOTHING if child is _NOTHING else [*value[:position], child, *value[position + 1 :]]


def _without(value: Any, path: Path) -> Any:
    """Give a value without what is at a path below it, which is there."""
    step, rest = path[0], path[1:]
    value = _opened(value)
    if isinstance(value, dict):
        if rest:
            return {**value, step: _without(value[step], rest)}
        return {name: member for name, member in value.items() if name != step}
    position = int(step)
    kept = [_without(value[position], rest)] if rest else []
    return [*value[:position], *kept, *value[position + 1 :]]


def _position(step: Step, length: int) -> int | None:
    """Read a position of a list, or the one past its end."""
    # Digits of other scripts are digits to Python too.
    position = int(step) if step.isascii() and step.isdigit() and len(step) <= 9 else length + 1  # noqa: PLR2004
    return position if position <= length else None


def _opened(value: Any) -> Any:
    return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, msgspec.Raw) and bytes(value).strip() == b"null")
