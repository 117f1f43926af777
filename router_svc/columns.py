"""Values of the columns of a row, each checked for what nobody downstream could use.

Law: a fault names its column and what is wrong, and never shows the value, which may be a secret.
"""

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from router_svc.snapshot import Timeouts

MAX_WEIGHT: Final = 1_000_000
LONGEST: Final = 1 << 20
"""Bytes of one value of a channel or API key: a plan must fit a message beside others; the schema refuses longer ones."""

T = TypeVar("T")


class ColumnFault(Exception):  # noqa: N818 - the row is at fault, not the program
    """What is wrong with a row; holds no value of it."""


def json_value(column: str, decoder: "msgspec.json.Decoder[Any]", value: Any) -> Any:
    """Decodes JSON, also such as another product stored as a string within JSON. Raises ColumnFault."""
    try:
        if value[:1] == b'"':  # a string that holds JSON, as other products store it
            value = msgspec.json.decode(value, type=str).strip().encode() or b"null"
        return decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeError, TypeError, RecursionError) as error:
        raise ColumnFault(f"{column}: {_shape_of(error)}") from None


def _shape_of(error: Exception) -> str:
    """Say what is wrong with JSON without quoting any of it: msgspec names types and places only."""
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    return str(error) if isinstance(error, msgspec.ValidationError) else "not JSON of the shape expected"


def networks(value: Any) -> tuple[Any, ...]:
    """Reads a list of networks. Raises ColumnFault."""
    if not isinstance(value, list):
        raise ColumnFault("address_allow_list: not a list")
    try:
        return tuple(ip_network(text, strict=False) for text in value)
    except ValueError:
        raise ColumnFault("address_allow_list: an entry is not a network") from None


def timeouts(values: Sequence[Any]) -> Timeouts:
    """Reads the four time limits, in milliseconds. Raises ColumnFault."""
    for value in values:
        if value is not None and not (isinstance(value, int) and value > 0):
            raise ColumnFault("timeouts: one is not above zero")
    return Timeouts(*values)


def seconds(column: str, value: Any) -> float | None:
    """Reads a time in seconds since the epoch, or none. Raises ColumnFault."""
    if value is not None and not isinstance(value, float):
        raise ColumnFault(f"{column}: not a time")
    return value


def base_url(value: Any) -> str:
    """Reads an http or https URL. Raises ColumnFault."""
    url = text("base_url", value)
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound:
        raise ColumnFault("base_url: not an http or https URL")
    return url.rstrip("/")


def text(column: str, value: Any) -> str:
    """Reads text that is not empty. Raises ColumnFault."""
    if not isinstance(value, str) or not value:
        raise ColumnFault(f"{column}: not text, or empty")
    return bounded(column, value)


def bounded(column: str, value: T) -> T:
    """Returns a value that is no longer than any reader takes. Raises ColumnFault."""
    if isinstance(value, str | bytes) and len(value) > LONGEST:
        raise ColumnFault(f"{column}: is longer than {LONGEST:,}")
    return value


def number(column: str, value: Any) -> int:
    """Reads a whole number. Raises ColumnFault."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ColumnFault(f"{column}: not a number")
    return value


def weight(column: str, value: Any) -> int:
    """Reads a weight. Raises ColumnFault."""
    if not 0 <= number(column, value) <= MAX_WEIGHT:
        raise ColumnFault(f"{column}: not within 0 and {MAX_WEIGHT}")
    return int(value)


def one_of(column: str, choices: frozenset[str], value: Any) -> str:
    """Reads one of a few names. Raises ColumnFault."""
    if not isinstance(value, str) or value not in choices:
        raise ColumnFault(f"{column}: none that is known")
    return value


def is_off(choices: frozenset[str], status: Any) -> bool:
    """Whether a status says that the row is off."""
    return isinstance(status, str) and status in choices and status != "ENABLED"
