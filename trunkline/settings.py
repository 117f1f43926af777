"""Reads a service's settings from the environment, once, and reports every fault at once.

A settings module declares one frozen dataclass whose fields are made by `setting`; `read` fills it. A secret may be given
as a file instead: `TRUNKLINE_PEPPER_FILE=/run/secrets/pepper`. The law: nothing else reads the environment, a fault never
shows a secret's value, and `docs/settings.md` is made from the same declarations.
"""

import dataclasses
import os
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NewType, NoReturn, TypeVar, Union

from trunkline.plaintext import is_loopback
from trunkline.secret import Secret

EX_CONFIG: Final = 78
"""The exit status of a service whose settings are at fault (sysexits.h)."""

Seconds = NewType("Seconds", float)
"""A span of time. Written as a number of seconds, or with a unit: `250ms`, `30s`, `5m`, `1h`."""

_UNITS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BOOLEANS: Final = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
_REQUIRED: Final = object()
_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen: `host:port` (port 0: a free one), `[v6]:port`, or `fd:N`, a listening socket handed down."""

    host: str
    port: int
    fd: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Listen":
        """Read an address. Raises ValueError."""
        if (match := re.fullmatch(r"fd:(\d+)", text)) is not None:
            return cls("", 0, int(match[1]))
        match = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\]:(\d+)|([^:\s]+):(\d+)", text)
        if match is None or not int(match[2] or match[4]) < 1 << 16:
            message = "not `host:port`, `[v6]:port` or `fd:N`"
            raise ValueError(message)
        return cls(match[1] or match[3], int(match[2] or match[4]))

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it; a descriptor is whoever opened it's business."""
        return self.fd is not None or is_loopback(self.host)

    def __str__(self) -> str:
        """Write it as it is read."""
        if self.fd is not None:
            return f"fd:{self.fd}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclasses.dataclass(frozen=True, slots=True)
class SettingFault:
    """One setting at fault."""

    name: str
    description: str


class SettingsError(Exception):
    """Every fault of a service's settings."""

    def __init__(self, faults: list[SettingFault]) -> None:
        """Name every fault."""
        self.faults = faults
        super().__init__("\n".join(f"  {fault.name}: {fault.description}" for fault in faults))


def setting(
    name: str,
    default: Any = _REQUIRED,
    doc: str = "",
    *,
    check: Callable[[Any], str | None] | None = None,
    aliases: tuple[str, ...] = (),
) -> Any:
    """Declare one setting: its variable, its default, what it is, and a check that answers what is wrong or None."""
    metadata = {"name": name, "default": default, "doc": doc, "check": check, "aliases": aliases}
    return dataclasses.field(metadata=metadata)


def read(cls: type[_T], environ: Mapping[str, str] | None = None) -> _T:
    """Fill a settings dataclass from the environment. Raises SettingsError with every fault."""
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    faults: list[SettingFault] = []
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # every settings class is a dataclass
        name = field.metadata["name"]
        try:
            values[field.name] = _value_of(field.metadata, hints[field.name], environ)
        except ValueError as fault:
            faults.append(SettingFault(name, str(fault)))
    if not faults:
        settings = cls(**values)
        faults = list(getattr(settings, "faults", list)())
        if not faults:
            return settings
    raise SettingsError(faults)


def read_or_exit(cls: type[_T], environ: Mapping[str, str] | None = None) -> _T:
    """Fill a settings dataclass, or print every fault and exit with EX_CONFIG."""
    try:
        return read(cls, environ)
    except SettingsError as error:
        _exit(f"settings at fault:\n{error}")


def _exit(message: str) -> NoReturn:
    sys.stderr.write(message + "\n")
    raise SystemExit(EX_CONFIG)


def _value_of(declared: Mapping[str, Any], hint: Any, environ: Mapping[str, str]) -> Any:
    for name in (declared["name"], *declared["aliases"]):
        text = _text_of(name, environ, secret=hint in _SECRETS)
        if text is not None:
            value = parse(hint, text)
            wrong = declared["check"](value) if declared["check"] else None
            if wrong:
                raise ValueError(wrong)
            return value
    if declared["default"] is _REQUIRED:
        message = "must be set"
        raise ValueError(message)
    return declared["default"]


def _text_of(name: str, environ: Mapping[str, str], *, secret: bool) -> str | None:
    text = environ.get(name) or None
    path = environ.get(f"{name}_FILE") if secret else None
    if path and text:
        message = f"give it or {name}_FILE, not both"
        raise ValueError(message)
    if path:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as fault:
            message = f"{name}_FILE cannot be read: {type(fault).__name__}"
            raise ValueError(message) from None
    return text


def parse(hint: Any, text: str) -> Any:
    """Read one value of a type. Raises ValueError that says what would do; for a secret it does not show the value."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return parse(next(argument for argument in arguments if argument is not types.NoneType), text)
    if origin is tuple:
        return tuple(parse(arguments[0], part.strip()) for part in text.split(",") if part.strip())
    if origin is Literal:
        return _one_of(text, {argument: argument for argument in arguments})
    return _READERS.get(hint, hint)(text)


def _one_of(text: str, choices: Mapping[str, _T]) -> _T:
    if text.lower() not in choices:
        raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
    return choices[text.lower()]


def _number(hint: type[int] | type[float], text: str) -> float:
    try:
        return hint(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a{'n integer' if hint is int else ' number'}") from None


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{text!r} is not a span of time such as 2, 250ms, 30s, 5m or 1h")
    return float(match[1]) * _UNITS[match[2]]


_READERS: Final[Mapping[Any, Callable[[str], Any]]] = {
    Seconds: _seconds,
    Listen: Listen.parse,
    bool: lambda text: _one_of(text, _BOOLEANS),
    int: lambda text: _number(int, text),
    float: lambda text: _number(float, text),
}


def positive(value: float) -> str | None:
    """Check that a number is above zero."""
    return None if value > 0 else f"{value} is not above zero"


LEAST_SECRET: Final = 16
"""Characters of a secret at least: what is shorter can be guessed over the network."""


def long_enough(secret: Secret) -> str | None:
    """Check that a secret is no short word; the fault tells its variable, never its value."""
    if len(secret.reveal()) >= LEAST_SECRET:
        return None
    return f"is shorter than {LEAST_SECRET} characters: `openssl rand -base64 32` makes one"


def readable(path: Path) -> str | None:
    """Check that a file can be read."""
    return None if path.is_file() and os.access(path, os.R_OK) else "is not a file that can be read"


_SECRETS: Final = (Secret, Secret | None)


@dataclasses.dataclass(frozen=True, slots=True)
class Declared:
    """One setting as its documentation shows it."""

    name: str
    default: str
    doc: str


def declared(cls: type) -> list[Declared]:
    """List a settings class's settings, for the documentation."""
    hints = typing.get_type_hints(cls)
    return [
        Declared(field.metadata["name"], _written(field.metadata["default"], hints[field.name]), field.metadata["doc"])
        for field in dataclasses.fields(cls)
    ]


def _written(default: Any, hint: Any) -> str:
    """Write a default as one would type it."""
    if default is _REQUIRED:
        return "required"
    if hint is Seconds:
        return f"{default:g}s"
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default is None else ",".join(default) if isinstance(default, tuple) else str(default)
