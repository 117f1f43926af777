"""What stands before and after every call: scope, deadline and request id before; refusals, faults and metrics after.

The law: handlers raise `Refused` and nothing else on purpose. A method without a declared scope cannot be called. A
message is read once its caller may call: until then it is bytes, and what they are is nobody's business.
"""

from __future__ import annotations  # grpc's generics exist in its stubs only

import contextvars
import inspect
import math
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeAlias, cast

import grpc
from google.protobuf.message import DecodeError
from grpc_status import rpc_status
from prometheus_client import Counter, Histogram

from trunkline import auth
from trunkline.errors import (
    DeadlineMissing,
    FieldFault,
    InternalFault,
    InvalidFields,
    Refused,
    ScopeMissing,
    TokenInvalid,
    TooManyWrongTokens,
)
from trunkline.guess_brake import GuessBrake
from trunkline.rpc.refusals import status_of
from trunkline.telemetry import get_logger

log = get_logger()

OPEN: Final = ""
"""The scope of methods that anyone may call."""
_OPEN_SERVICES: Final = ("/grpc.health.v1.Health/", "/grpc.reflection.")
_REQUEST_ID_LIMIT: Final = 128
_CHANNELZ: Final = "/grpc.channelz.v1.Channelz/"

_HANDLED = Counter("trunkline_grpc_server_handled_total", "Calls ended, by method and code.", ["method", "code"])
_SECONDS = Histogram(
    "trunkline_grpc_server_handling_seconds",
    "Time from a unary call's start to its end.",
    ["method"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the scopes of its token, and the request id its errors and log lines carry."""

    scopes: frozenset[str]
    request_id: str


_caller: contextvars.ContextVar[Caller] = contextvars.ContextVar("caller")


def caller() -> Caller:
    """Tell who makes the call being handled."""
    return _caller.get()


Handler = Callable[[Any, Any], Any]
Method: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Gate(grpc.aio.ServerInterceptor):
    """Stands before every call: scope, deadline, request id; after it: refusals, faults, metrics."""

    def __init__(self, tokens: auth.TokenTable, scopes: Mapping[str, str]) -> None:
        """Take who may call, and the scope each method (`/package.Service/Method`) needs."""
        self._tokens = tokens
        self._scopes = scopes
        self._guesses = GuessBrake()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Method | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Method | None:
        """Wrap the method's handler."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        scope = _scope_of(method, self._scopes)
        metadata = dict(handler_call_details.invocation_metadata or ())
        needs_deadline = not handler.request_streaming and not handler.response_streaming
        token = auth.bearer(metadata.get("authorization"))
        granted = self._tokens.scopes_of(token)
        request_id = str(metadata.get("x-request-id") or uuid.uuid4())[:_REQUEST_ID_LIMIT]
        guesses = self._guesses if token and not granted else None
        entry = _Entry(method, scope, granted, request_id, guesses)
        return _wrapped(handler, entry, needs_deadline=needs_deadline and method in self._scopes)


def _scope_of(method: str, scopes: Mapping[str, str]) -> str:
    """The scope that a method needs. Raises KeyError for one that declares none."""
    if method.startswith(_OPEN_SERVICES):
        return OPEN
    return auth.READ if method.startswith(_CHANNELZ) else scopes[method]


def peer_host(peer: str) -> str:
    """Take the host out of gRPC's name of a peer: `ipv4:127.0.0.1:4711`, `ipv6:%5B::1%5D:4711`."""
    kind, _, rest = peer.partition(":")
    return rest.rpartition(":")[0].replace("%5B", "[").replace("%5D", "]") if kind.startswith("ip") else kind


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is known of a call before its handler runs."""

    method: str
    scope: str
    granted: frozenset[str]
    request_id: str
    guesses: GuessBrake | None
    """Given when the caller showed a token that is none."""

    def admit(self, context: grpc.aio.ServicerContext[Any, Any], *, needs_deadline: bool) -> None:
        """Let the call in, or raise Refused."""
        _caller.set(Caller(self.granted, self.request_id))
        if self.scope != OPEN and not self.granted:
            self._brake(context.peer())
            raise TokenInvalid
        if self.scope != OPEN and self.scope not in self.granted:
            raise ScopeMissing(scope=self.scope)
        if needs_deadline and context.time_remaining() is None:
            raise DeadlineMissing

    def _brake(self, peer: str) -> None:
        if self.guesses is None:
            return
        wait = self.guesses.wrong(peer_host(peer).strip("[]"), time.monotonic())
        if wait:
            raise TooManyWrongTokens(seconds=math.ceil(wait))


def _wrapped(handler: Method, entry: _Entry, *, needs_deadline: bool) -> Method:
    serial = {"request_deserializer": None, "response_serializer": handler.response_serializer}
    call = _Call(handler, entry, needs_deadline=needs_deadline)
    if handler.unary_unary:
        return grpc.unary_unary_rpc_method_handler(_answering(cast("Handler", handler.unary_unary), call), **serial)
    if handler.stream_unary:
        return grpc.stream_unary_rpc_method_handler(_answering(cast("Handler", handler.stream_unary), call), **serial)
    if handler.unary_stream:
        return grpc.unary_stream_rpc_method_handler(_streaming(cast("Handler", handler.unary_stream), call), **serial)
    return grpc.stream_stream_rpc_method_handler(_streaming(cast("Handler", handler.stream_stream), call), **serial)


class _Call:
    """One call: who makes it, and how its messages are read."""

    def __init__(self, handler: Method, entry: _Entry, *, needs_deadline: bool) -> None:
        self.entry, self.method = entry, entry.method
        self._needs_deadline = needs_deadline
        self._read = handler.request_deserializer
        self._streams = handler.request_streaming

    def admitted(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        """Let the call in, and give what its handler takes. Raises Refused."""
        self.entry.admit(context, needs_deadline=self._needs_deadline)
        if self._read is None:
            return request
        return self._each(request) if self._streams else self._one(request)

    def _one(self, message: bytes) -> Any:
        assert self._read is not None  # noqa: S101 - or nothing is read
        try:
            return self._read(message)
        except DecodeError:
            raise InvalidFields([FieldFault("request", "is not a message that this method takes")]) from None

    async def _each(self, messages: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for message in messages:
            yield self._one(message)


def _answering(handle: Handler, call: _Call) -> Handler:
    async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        start = time.perf_counter()
        try:
            answered = handle(call.admitted(request, context), context)
            response = await answered if inspect.isawaitable(answered) else answered
        except Exception as error:  # noqa: BLE001 - the boundary: every fault becomes a status
            await _abort(context, call.method, error)
        _HANDLED.labels(call.method, "OK").inc()
        _SECONDS.labels(call.method).observe(time.perf_counter() - start)
        return response

    return answer


def _streaming(handle: Handler, call: _Call) -> Handler:
    async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        try:
            answered = handle(call.admitted(request, context), context)
            if inspect.isawaitable(answered):
                await answered
            else:
                async for response in answered:
                    yield response
        except Exception as error:  # noqa: BLE001 - the boundary: every fault becomes a status
            await _abort(context, call.method, error)
        _HANDLED.labels(call.method, "OK").inc()

    return answer


async def _abort(context: grpc.aio.ServicerContext[Any, Any], method: str, error: Exception) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, NotImplementedError):  # of a service that is not ours: its newer methods
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this method is not served here")
    request_id = who.request_id if (who := _caller.get(None)) else ""
    if not isinstance(error, Refused):
        log.error("call failed", method=method, request_id=request_id, exc_info=error)
        error = InternalFault(request_id=request_id)
    elif error.detail:
        log.warning("call refused", method=method, request_id=request_id, fault=error.detail)
    _HANDLED.labels(method, error.code.name).inc()
    await context.abort_with_status(rpc_status.to_status(status_of(error, request_id)))
    raise AssertionError  # abort_with_status always raises; its stub does not say so
