"""The HTTP/JSON face of the admin service, under `/api`: the same methods, for scripts and consoles.

The law: every answer of these paths is JSON, the refusals too, in one envelope: `{"success": false, "message", "error_code",
"faults", "metadata", "request_id"}`. What a request means is settled by `http_routes`, `http_request` and `http_json`; this
file receives, bounds, authenticates and answers.
"""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections.abc import Mapping
from itertools import groupby
from typing import Any, Final

import msgspec
from google.protobuf.message import Message
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from admin_svc import http_json
from admin_svc.http_request import Misread, message_of
from admin_svc.http_routes import ROUTES, Route
from admin_svc.rules import together
from admin_svc.service import SCOPES, SERVICE, AdminService, Caller, actor_of
from trunkline import auth
from trunkline.errors import (
    Cause,
    Code,
    DatabaseUnavailable,
    Draining,
    EtagMismatch,
    FieldFault,
    InternalFault,
    InvalidFields,
    Reason,
    Refused,
    ScopeMissing,
    TokenInvalid,
)
from trunkline.guess_brake import GuessBrake
from trunkline.http_faults import HttpFault
from trunkline.serving import OPERATIONS, App, Health, Receive, Scope, Send, operations
from trunkline.telemetry import get_logger

log = get_logger()

MOST_BODY: Final = 4 << 20
"""Bytes of a request's body; a channel of two thousand models takes some 200 kB."""
_BODY_SECONDS: Final = 15.0
_CALL_SECONDS: Final = 90.0
"""The longest that a call may take: more than the longest wait for visibility and the store's own bounds together."""
_LONGEST_ID: Final = 128

_STATUSES: Final[Mapping[int, int]] = {
    Code.INVALID_ARGUMENT: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.FAILED_PRECONDITION: 409,
    Code.ABORTED: 409,
    Code.RESOURCE_EXHAUSTED: 503,  # this service's own bound, not a limit of the caller
    Code.UNAVAILABLE: 503,
    Code.INTERNAL: 500,
}


class _Unfit(Exception):  # noqa: N818 - not an error of ours
    """A request that HTTP itself refuses, before it means anything."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers


class HttpFace:
    """The ASGI app: `/api/…` here, `/health`, `/readyz` and `/metrics` from `trunkline.serving`."""

    def __init__(self, service: AdminService, tokens: auth.TokenTable, health: Health) -> None:
        self._service = service
        self._tokens = tokens
        self._health = health
        self._operations = operations(health)
        self._guesses = GuessBrake()
        paths = groupby(sorted(ROUTES, key=lambda route: route.path), key=lambda route: route.path)
        routes = [self._path(path, {route.verb: route for route in verbs}) for path, verbs in paths]
        self._api = Starlette(routes=routes, exception_handlers={HTTPException: _unrouted})  # type: ignore[dict-item]
        self._api.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        app: App = self._operations if scope.get("path") in OPERATIONS else self._api
        await app(scope, receive, send)

    def _path(self, path: str, verbs: Mapping[str, Route]) -> StarletteRoute:
        async def endpoint(request: Request) -> Response:
            return await self._answer(verbs[request.method if request.method != "HEAD" else "GET"], request)

        return StarletteRoute(path, endpoint, methods=list(verbs))

    async def _answer(self, route: Route, request: Request) -> Response:
        trace_id = _trace_id(request.headers.get("x-request-id", ""))
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                answered = await self._call(route, request, trace_id)
        except Refused as refused:
            if refused.detail:
                log.warning("call refused", method=route.method, request_id=trace_id, fault=refused.detail)
            return _refusal(_in_http_terms(refused, route), trace_id, matched="if-match" in request.headers)
        except _Unfit as unfit:
            return _envelope(unfit.status, unfit.code, str(unfit), trace_id, headers=unfit.headers)
        except TimeoutError:
            return _envelope(504, "DEADLINE_EXCEEDED", f"took longer than {_CALL_SECONDS:.0f} s", trace_id)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it
        except Exception:  # the boundary: every fault becomes an answer
            log.exception("call failed", method=route.method, request_id=trace_id)
            return _refusal(InternalFault(request_id=trace_id), trace_id)
        return _json(200, _shown(route, answered), {"x-request-id": trace_id, **_etag(answered, route)})

    async def _call(self, route: Route, request: Request, trace_id: str) -> Message:
        token = auth.bearer(request.headers.get("authorization"))
        scopes = self._tokens.scopes_of(token)
        needed = SCOPES[f"/{SERVICE.full_name}/{route.method}"]
        if not scopes:
            self._brake(token, request)
            raise TokenInvalid
        if needed not in scopes:
            raise ScopeMissing(scope=needed)
        if not self._health.ready:
            raise Draining if self._health.draining else DatabaseUnavailable(cause=Cause.STARTING)
        body = await _body(request)
        try:
            message = message_of(route, request.path_params, request.query_params.multi_items(), request.headers, body)
        except Misread as misread:
            found = await self._service.faults_of(route.method, misread.request, scopes)
            further = _in_http_terms(InvalidFields(found), route)
            raise InvalidFields(together(misread.faults, further.faults)) from None
        host = request.client.host if request.client else "unknown"
        caller = Caller(scopes, actor_of(request.headers.get("x-trunkline-actor", ""), host), trace_id)
        answered: Message = await self._service.call(route.method, message, caller)
        return answered

    def _brake(self, token: str, request: Request) -> None:
        """Slow down whoever guesses tokens. Raises _Unfit."""
        peer = request.client.host if request.client else ""
        wait = self._guesses.wrong(peer, time.monotonic()) if token else 0.0
        if wait:
            seconds = math.ceil(wait)
            message = f"too many wrong tokens from this address: try again in {seconds} s"
            raise _Unfit(429, "TOO_MANY_WRONG_TOKENS", message, {"retry-after": str(seconds)})


async def _body(request: Request) -> dict[str, Any]:
    """Read the body within its bounds, as one JSON object."""
    too_large = _Unfit(413, "BODY_TOO_LARGE", f"the body must be at most {MOST_BODY:,} bytes")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > MOST_BODY:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BODY:
                    raise too_large
    except TimeoutError:
        raise _Unfit(408, "BODY_TOO_SLOW", f"the body took longer than {_BODY_SECONDS:.0f} s") from None
    try:
        return http_json.parse(bytes(body))
    except http_json.MalformedJsonError as error:
        raise _Unfit(400, "MALFORMED_JSON", f"the body is not the JSON object it must be: {error}") from None


def _shown(route: Route, answered: Message) -> dict[str, Any]:
    shown = http_json.show(answered)
    # Scripts of this family of gateways look for it on this one path, which they share.
    return {"success": True, **shown} if route.method == "SyncChannels" else shown


def _etag(answered: Any, route: Route) -> dict[str, str]:
    name = route.resource or {"GetChannel": "channel", "GetApiKey": "api_key"}.get(route.method, "")
    resource = getattr(answered, name, None)
    etag = getattr(resource, "etag", "")
    return {"etag": f'"{etag}"'} if etag else {}


def _in_http_terms(refused: Refused, route: Route) -> Refused:
    """Name faults as the body does."""
    if not isinstance(refused, InvalidFields):
        return refused
    names = {"update_mask": "body", "wait.mode": "wait", "wait.timeout": "wait_timeout"}
    prefix = f"{route.resource}." if route.resource else ""
    return InvalidFields(
        [
            FieldFault(names.get(fault.field, fault.field.removeprefix(prefix)), fault.description)
            for fault in refused.faults
        ]
    )


def _refusal(refused: Refused, trace_id: str, *, matched: bool = False) -> Response:
    status = _STATUSES[refused.code]
    headers = {}
    if isinstance(refused, EtagMismatch) and matched:
        status = 412  # RFC 9110: the answer to an If-Match that does not hold
    if refused.reason == Reason.TOKEN_INVALID:
        headers["www-authenticate"] = "Bearer"
    if refused.retry_delay is not None:
        headers["retry-after"] = str(max(1, round(refused.retry_delay)))
    return _envelope(status, refused.reason, refused.message, trace_id, refused, headers)


def _envelope(
    status: int,
    code: str,
    message: str,
    trace_id: str,
    refused: Refused | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body = _told(message, code, trace_id, refused)
    return _json(status, body, {"x-request-id": trace_id, **(headers or {})})


def _told(message: str, code: str, trace_id: str, refused: Refused | None = None) -> dict[str, Any]:
    faults = [{"field": fault.field, "description": fault.description} for fault in refused.faults] if refused else []
    return {
        "success": False,
        "message": message,
        "error_code": str(code),
        "faults": faults,
        "metadata": dict(refused.metadata) if refused else {},
        "request_id": trace_id,
    }


def connection_words(fault: HttpFault, _target: bytes) -> bytes:
    """The response to a connection that brought no request that can be served, in the envelope."""
    return fault.response(msgspec.json.encode(_told(fault.message, fault.code.upper(), str(uuid.uuid4()))))


async def _unrouted(request: Request, error: HTTPException) -> Response:
    trace_id = _trace_id(request.headers.get("x-request-id", ""))
    code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(error.status_code, "BAD_REQUEST")
    message = {404: "there is no such path", 405: "this path does not take this method"}.get(
        error.status_code, error.detail
    )
    return _envelope(error.status_code, code, message, trace_id, headers=error.headers)


def _json(status: int, body: Any, headers: Mapping[str, str]) -> Response:
    return Response(msgspec.json.encode(body), status, dict(headers), "application/json")


def _trace_id(given: str) -> str:
    """Take the caller's id for logs, if it is fit for one, or draw one."""
    fit = 0 < len(given) <= _LONGEST_ID and given.isascii() and given.isprintable()
    return given if fit else str(uuid.uuid4())
