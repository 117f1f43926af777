"""What a channel's header and parameter overrides must be.

The law: an override cannot break the framing of a request, replace the credential that the channel's keys are (those are
sealed, switched off one by one and never shown), or undo the routing that chose the channel.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from admin_svc.rules.faults import Faults, at, unprintable

_MOST_HEADERS = 64
_LONGEST_HEADER_NAME = 128
_LONGEST_HEADER_VALUE = 8_192
_MOST_PARAMETERS = 64
_LONGEST_PARAMETERS = 65_536
_DEEPEST = 16

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, token
_HEADER_VALUE = re.compile(r"[\t -~]*")
_FRAMING = frozenset(
    {"connection", "content-length", "content-encoding", "expect", "keep-alive", "proxy-connection"}
    | {"te", "trailer", "transfer-encoding", "upgrade"}
)
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "proxy-authenticate"})
_ROUTING = frozenset({"model", "stream"})


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
        elif lower in _CREDENTIALS:
            faults.note(field, "is a credential: it belongs in the channel's keys, where it is sealed")
        if len(value) > _LONGEST_HEADER_VALUE:
            faults.note(field, f"must be at most {_LONGEST_HEADER_VALUE:,} characters long")
        elif not _HEADER_VALUE.fullmatch(value):
            faults.note(field, "holds a character that a header cannot carry")


def check_parameters(parameters: Mapping[str, Any], faults: Faults) -> None:
    """Check members of the request body to replace."""
    if not faults.at_most("parameter_overrides", parameters, _MOST_PARAMETERS):
        return
    sound = True
    for name, value in parameters.items():
        field = at("parameter_overrides", name)
        if not name:
            faults.note(field, "must have a name")
        elif name in _ROUTING:
            faults.note(field, "is what routing decided upon and cannot be replaced; see `model_mapping`")
        fault = _fault_within({name: value}, _DEEPEST)
        if fault:
            faults.note(field, fault)
            sound = False
    if sound and len(json.dumps(dict(parameters), ensure_ascii=False)) > _LONGEST_PARAMETERS:
        faults.note("parameter_overrides", f"must be at most {_LONGEST_PARAMETERS:,} characters long as JSON")


def _fault_within(value: Any, levels: int) -> str:
    """Find what JSON in the database cannot hold; empty when there is nothing."""
    if levels == 0:
        return f"is nested deeper than {_DEEPEST} levels"
    if isinstance(value, str):
        return "holds a control character" if unprintable(value, lines=True) else ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else "is not a finite number"
    children = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        fault = _fault_within(key, levels) or _fault_within(child, levels - 1)
        if fault:
            return fault
    return ""
