"""Makes the request message of a method from the parts of an HTTP request.

The law: every fault of every part is answered at once, under the name it has in HTTP (`base_url`, not `channel.base_url`).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from google.protobuf import message_factory
from google.protobuf.message import Message

from admin_svc import http_json
from admin_svc.http_routes import Route
from admin_svc.rules import Faults
from admin_svc.service import METHODS
from trunkline.errors import FieldFault, InvalidFields

_NESTED = frozenset({"timeouts"})
"""Fields whose own keys are masked one by one."""


class Misread(InvalidFields):
    """Parts of a request that cannot be read; `request` holds the others, which may have faults of their own."""

    def __init__(self, faults: Sequence[FieldFault], request: Any) -> None:
        super().__init__(faults)
        self.request = request


def message_of(
    route: Route,
    parts: Mapping[str, str],
    query: Iterable[tuple[str, str]],
    headers: Mapping[str, str],
    body: Mapping[str, Any],
) -> Any:
    """Make the request message. Raises Misread."""
    request: Any = message_factory.GetMessageClass(METHODS[route.method].input_type)()
    faults = Faults()
    resource = getattr(request, route.resource) if route.resource else request
    if route.resource:
        resource.SetInParent()
    _read_body(route, request, resource, body, faults)
    for part, path in route.parts:
        _read_part(request if "." not in path else resource, path.rpartition(".")[2], parts[part], faults)
    for name, text in query:
        _read_query(route, request, resource, name, text, faults)
    _read_headers(request, resource, headers, faults)
    try:
        faults.refuse_any()
    except InvalidFields as refused:
        raise Misread(refused.faults, request) from None
    return request


def _read_body(route: Route, request: Message, resource: Message, body: Mapping[str, Any], faults: Faults) -> None:
    own = set(request.DESCRIPTOR.fields_by_name) - {route.resource, "update_mask"}
    http_json.read_into(request, {name: value for name, value in body.items() if name in own}, faults)
    if not route.resource:
        for name in body.keys() - own:
            faults.note(name, "is not a field")
        return
    described = {name: value for name, value in body.items() if name not in own}
    if described.get("secret"):
        faults.note("secret", "is drawn by the server and shown once")
    described.pop("secret", None)
    if route.masked and _sets_keys(described, route.given):
        described.pop("keys")
        faults.note("keys", _KEYS_ELSEWHERE)
        return
    http_json.read_into(resource, described, faults)
    if route.masked:
        paths = sorted(_mask(described, route.given))
        request.update_mask.paths.extend(paths)  # type: ignore[attr-defined]  # every masked request has one
        if not paths:
            faults.note("body", "must name a field to change")


_KEYS_ELSEWHERE: Final = (
    "are not set here: POST /api/v1/channels/{channel_id}/keys adds some, PATCH and DELETE …/keys/{key_id} change one"
)


def _sets_keys(described: Mapping[str, Any], given: frozenset[str]) -> bool:
    """Tell whether keys are to be set, and not just sent back as they were shown, beside what changes."""
    keys = described.get("keys")
    if "keys" not in given or keys is None:
        return False
    return not (isinstance(keys, list) and all(isinstance(key, dict) for key in keys) and _mask(described, given))


def _mask(described: Mapping[str, Any], given: frozenset[str]) -> set[str]:
    paths: set[str] = set()
    for name, value in described.items():
        if name in _NESTED and isinstance(value, dict):
            paths |= {f"{name}.{key}" for key in value}
        elif name not in given:
            paths.add(name)
    return paths


def _read_part(target: Message, name: str, text: str, faults: Faults) -> None:
    """Read a part of the path; a body that names the same field must agree with it."""
    before = getattr(target, name)
    http_json.read_text(target, name, text, faults)
    if before and before != getattr(target, name):
        faults.note(name, "is not the one in the path")


def _read_query(route: Route, request: Any, resource: Any, name: str, text: str, faults: Faults) -> None:
    own = request.DESCRIPTOR.fields_by_name
    if name in route.queried or (name in ("request_id", "allow_mass_change") and name in own):
        http_json.read_text(request, name, text, faults)
    elif name == "etag" and "etag" in resource.DESCRIPTOR.fields_by_name:
        resource.etag = text
    elif name == "wait" and "wait" in own:
        renamed = Faults()
        http_json.read_text(request.wait, "mode", text, renamed)
        faults.take(renamed, {"mode": "wait"})
    elif name == "wait_timeout" and "wait" in own:
        renamed = Faults()
        http_json.read_text(request.wait, "timeout", text, renamed)
        faults.take(renamed, {"timeout": "wait_timeout"})
    else:
        faults.note(name, "is not a parameter")


def _read_headers(request: Any, resource: Any, headers: Mapping[str, str], faults: Faults) -> None:
    if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
        key = headers.get("idempotency-key", "")
        traced = headers.get("x-request-id", "")
        # A trace id that is no UUID is only that; an idempotency key must work, so what is wrong with it is said.
        request.request_id = key or (traced if is_uuid(traced) else "")
    match = headers.get("if-match", "").strip()
    if match and match != "*":
        if "etag" not in resource.DESCRIPTOR.fields_by_name:
            faults.note("If-Match", "has no meaning here")
        else:
            resource.etag = match.removeprefix("W/").strip('"')


def is_uuid(text: str) -> bool:
    """Tell whether text is a UUID."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
