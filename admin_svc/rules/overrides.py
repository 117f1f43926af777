"""What a channel's header and parameter overrides, and the headers it removes, must be.

The law: an override cannot break the framing of a request, replace the credential that the channel's keys are (those are
sealed, switched off one by one and never shown), or undo the routing that chose the channel.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from admin_svc.rules.faults import Faults, at, unprintable
from trunkline import parameter_overrides

_MOST_HEADERS = 64
_LONGEST_HEADER_NAME = 128
_LONGEST_HEADER_VALUE = 8_192
_LEVELS = parameter_overrides.DEEPEST + 4
"""Those of a value, and of the operation around it."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, token
_HEADER_VALUE = re.compile(r"[\t -~]*")
_FRAMING = frozenset(
    {"connection", "content-length", "content-encoding", "expect", "keep-alive", "proxy-connection"}
    | {"te", "trailer", "transfer-encoding", "upgrade"}
)
_CREDENTIALS = re.compile(
    r"(.*-)?(authorization|authenticate|cookie|set-cookie|api-?key|auth-?key|subscription-key|functions-key|access-key)"
    r"|(.*-)?(secret|password|passwd|credentials?)(-.*)?"
    r"|(.*-)?(auth|access|api|security|session|private|bearer|jwt|id|refresh)-?token"
)
"""Names of headers by which somebody is known to be somebody."""
_SCHEME = re.compile(r"(bearer|basic|digest|token|apikey|aws4-hmac-sha256)\s+\S", re.IGNORECASE)
"""How a credential begins that stands in a header of any name."""


def check_headers(headers: Mapping[str, str], faults: Faults) -> None:
    """Check headers to set on upstream requests; no description shows a value, for it may be a secret."""
    if not faults.at_most("header_overrides", headers, _MOST_HEADERS):
        return
    seen: set[str] = set()
    for name, value in headers.items():
        field, lower = at("header_overrides", name), name.lower()
        if lower in seen:
            faults.note(field, "is there twice: case does not tell headers apart")
        seen.add(lower)
        if not _HEADER_NAME.fullmatch(name) or len(name) > _LONGEST_HEADER_NAME:
            faults.note(field, "is not a header's name")
        elif lower in _FRAMING:
            faults.note(field, "belongs to the connection and cannot be set")
        elif _CREDENTIALS.fullmatch(lower) or _SCHEME.match(value):
            faults.note(field, "is a credential: it belongs in the channel's keys, where it is sealed")
        if len(value) > _LONGEST_HEADER_VALUE:
            faults.note(field, f"must be at most {_LONGEST_HEADER_VALUE:,} characters long")
        elif not _HEADER_VALUE.fullmatch(value):
            faults.note(field, "holds a character that a header cannot carry")


def check_removed(names: Sequence[str], faults: Faults) -> None:
    """Check the names of headers that are never sent to the upstream; those sent anyway belong to the connection."""
    if not faults.at_most("removed_headers", names, _MOST_HEADERS):
        return
    for position, name in enumerate(names):
        field = f"removed_headers[{position}]"
        if not _HEADER_NAME.fullmatch(name) or len(name) > _LONGEST_HEADER_NAME:
            faults.note(field, "is not a header's name")
        elif name.lower() in _FRAMING:
            faults.note(field, "belongs to the connection and is made anew for each")


def check_parameters(parameters: Mapping[str, Any] | Sequence[Any], faults: Faults) -> None:
    """Check what changes the request body: members to replace, or operations."""
    found = parameter_overrides.faults_of(parameters)
    for fault in found:
        faults.note(_path_of(fault.index, fault.member), fault.description)
    if any(fault.index is None and fault.member is None for fault in found):
        return  # too many, and not looked into
    sound = not found
    if isinstance(parameters, Mapping):
        entries = [(_path_of(None, name), {name: value}) for name, value in parameters.items()]
    else:
        entries = [(_path_of(index, None), operation) for index, operation in enumerate(parameters)]
    for path, entry in entries:
        why = _unstorable(entry, _LEVELS)
        if why:
            faults.note(path, why)
            sound = False
    longest = parameter_overrides.LONGEST
    if sound and len(json.dumps(parameters, ensure_ascii=False)) > longest:
        faults.note("parameter_overrides", f"must be at most {longest:,} characters long as JSON")


def _path_of(index: int | None, member: str | None) -> str:
    if index is None:
        return "parameter_overrides" if member is None else at("parameter_overrides", member)
    return f"parameter_overrides[{index}]" + (f".{member}" if member else "")


def _unstorable(value: Any, levels: int) -> str:
    """Find what JSON in the database cannot hold; empty when there is nothing within so many levels."""
    if levels == 0:
        return ""
    if isinstance(value, str):
        return "holds a control character" if unprintable(value, lines=True) else ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else "is not a finite number"
    children = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        why = _unstorable(key, levels) or _unstorable(child, levels - 1)
        if why:
            return why
    return ""
