"""The admin service: takes each call apart, has it carried out, and puts the answer together; it decides nothing.

The law: a mutation that was begun is carried to its end and logged, whoever has left meanwhile; what follows a change (hints,
metrics, the log line) follows its commit. The gRPC door is made from the service's descriptor and the tables below; the
HTTP door (`http`) calls the same `call`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final, TypeVar, get_args

import grpc
from google.protobuf import message_factory
from google.protobuf.message import Message

from admin_svc import metrics, mutations, queries
from admin_svc.broadcaster import Broadcaster
from admin_svc.fanout import WaitMode
from admin_svc.mutations import Mutation, Tools
from admin_svc.store import Change, Done, Store
from admin_svc.wire import name_of, seconds_of, show_token, show_visibility
from trunkline import auth, rpc, unstorable_text
from trunkline.database import Pool
from trunkline.errors import Draining, FieldFault, InvalidFields, Refused, SecretAlreadyShown
from trunkline.secret import Secret
from trunkline.telemetry import get_logger
from trunkline.v1 import admin_pb2, revision_pb2

log = get_logger()
T = TypeVar("T")

SERVICE: Final = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]
METHODS: Final = {method.name: method for method in SERVICE.methods}
SCOPES: Final[Mapping[str, str]] = {
    f"/{SERVICE.full_name}/{name}": auth.ADMIN if name in mutations.MUTATIONS or name == "SyncChannels" else auth.READ
    for name in METHODS
}
"""The scope that each method needs."""

_DEFAULT_WAIT: Final = 2.0
_LONGEST_WAIT: Final = 60.0
_LONGEST_ACTOR: Final = 128


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the scopes held, who it is for the audit log, and the request id of its log lines."""

    scopes: frozenset[str]
    actor: str
    trace_id: str


class AdminService:
    """Every method of `trunkline.v1.AdminService`."""

    def __init__(self, *, store: Store, pool: Pool, broadcaster: Broadcaster, tools: Tools) -> None:
        self._store = store
        self._broadcaster = broadcaster
        self._tools = tools
        self._tasks: asyncio.TaskGroup | None = None
        self._queries = queries.Queries(pool, broadcaster)

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Take mutations within this block; leaving it waits for those under way, each of which has its own bounds."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                yield
            finally:
                self._tasks = None

    async def call(self, method: str, request: Any, caller: Caller) -> Any:
        """Answer one call of a method by its name. Raises Refused."""
        if unstorable := unstorable_text.faults_of(request):
            raise InvalidFields(_joined(await self.faults_of(method, request, caller.scopes), unstorable))
        mutation = mutations.MUTATIONS.get(method)
        if mutation is not None:
            return await self._owned(self._mutate(method, mutation, request, caller))
        return await self._queries.call(method, request, caller.scopes)

    async def faults_of(self, method: str, request: Any, scopes: AbstractSet[str]) -> Sequence[FieldFault]:
        """Tell the faults for which a mutation would be refused, without making it; none of a query."""
        mutation = mutations.MUTATIONS.get(method)
        if mutation is None:
            return ()
        faults: list[FieldFault] = []
        try:
            _asked(request)
        except InvalidFields as refused:
            faults.extend(refused.faults)
        try:
            prepared = mutation.prepare(request, self._tools.of(scopes))
        except InvalidFields as refused:
            return [*faults, *refused.faults]
        return [*faults, *await self._store.faults_of(prepared.write)]

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve every method on a gRPC server."""
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                self._door(name),
                request_deserializer=message_factory.GetMessageClass(method.input_type).FromString,
                response_serializer=message_factory.GetMessageClass(method.output_type).SerializeToString,
            )
            for name, method in METHODS.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE.full_name, handlers),))

    def _door(self, method: str) -> Callable[[Any, Any], Awaitable[Any]]:
        async def answer(request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> Message:
            who = rpc.caller()
            metadata = dict(context.invocation_metadata() or ())
            given = metadata.get("x-trunkline-actor")
            actor = actor_of(given if isinstance(given, str) else "", rpc.peer_host(context.peer()))
            answered: Message = await self.call(method, request, Caller(who.scopes, actor, who.request_id))
            return answered

        return answer

    async def _mutate(self, method: str, mutation: Mutation, request: Any, caller: Caller) -> Any:
        line: dict[str, Any] = {"method": method, "actor": caller.actor, "trace_id": caller.trace_id}
        outcome = "INTERNAL"
        try:
            try:
                request_id, mode, timeout = _asked(request)
            except InvalidFields:
                raise InvalidFields(await self.faults_of(method, request, caller.scopes)) from None
            line["request_id"] = request_id
            done, secret = await self._commit(method, mutation, request, request_id, caller)
            visibility = await self._broadcaster.visible(done.token, mode, timeout)
            outcome = "OK"
        except Refused as refused:
            outcome = refused.reason
            log.info("mutation refused", **line, reason=outcome)
            raise
        finally:
            metrics.MUTATIONS.labels(method, outcome).inc()
        log.info(
            "mutation repeated" if done.repeated else "mutation committed",
            **line,
            revision=done.token.revision,
            visible_on=visibility.visible_on,
            of=visibility.of,
            lagging=visibility.lagging,
            lapsed=visibility.lapsed,
        )
        answer = mutation.show(done.answer, secret, caller.scopes)
        kind = message_factory.GetMessageClass(METHODS[method].output_type)
        return kind(**answer, token=show_token(done.token), visibility=show_visibility(visibility))

    async def _commit(
        self, method: str, mutation: Mutation, request: Any, request_id: str, caller: Caller
    ) -> tuple[Done[Any], Secret | None]:
        """Commit the change; answers also the secret to show. Raises Refused."""
        start = time.monotonic()
        prepared = mutation.prepare(request, self._tools.of(caller.scopes))
        change: Change[Any] = Change(
            action=method,
            actor=caller.actor,
            request_id=request_id,
            request_hash=self._tools.request_hash(method, request),
            write=prepared.write,
            answer=mutation.answer,
            guarded=mutation.guarded and not request.allow_mass_change,
            drawn=not request.request_id,
        )
        done = await self._store.commit(change)
        if done.repeated and prepared.secret is not None:
            raise SecretAlreadyShown(request_id=request_id, api_key_id=done.answer.id)
        metrics.COMMIT_SECONDS.observe(time.monotonic() - start)
        return done, prepared.secret

    async def _owned(self, work: Coroutine[Any, Any, T]) -> T:
        """Run work to its end in the service's own group, though its caller may leave before."""
        if self._tasks is None:
            work.close()
            raise Draining
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            try:
                result = await work
            except Exception as error:  # noqa: BLE001 - handed to the caller, whose error it is
                if not outcome.done():
                    outcome.set_exception(error)
            except BaseException:
                outcome.cancel()
                raise
            else:
                if not outcome.done():
                    outcome.set_result(result)

        self._tasks.create_task(run(), name="mutation")
        return await outcome


def actor_of(given: str, host: str) -> str:
    """Name who acts, for the audit log: as the caller says (a console names its user), and from where."""
    name = "".join(character for character in given if character.isprintable())[:_LONGEST_ACTOR].strip()
    return f"{name or 'admin'}@{host}"


def _joined(faults: Sequence[FieldFault], unstorable: Sequence[FieldFault]) -> list[FieldFault]:
    """Both, but what the rules say of a field (or of a part of it) is said once."""
    return [*faults, *(one for one in unstorable if not any(told.field.startswith(one.field) for told in faults))]


def _asked(request: Any) -> tuple[str, WaitMode, float]:
    """Read what all mutations have in common: the request id, and what to wait for. Raises InvalidFields."""
    faults = []
    request_id = str(uuid.uuid4())
    if request.request_id:
        try:
            request_id = str(uuid.UUID(request.request_id))
        except ValueError:
            faults.append(FieldFault("request_id", "is not a UUID"))
    wait, mode = request.wait, ""
    try:
        mode = name_of(revision_pb2.WaitMode, wait.mode) or "ALL"
    except ValueError:
        faults.append(FieldFault("wait.mode", f"must be one of {', '.join(get_args(WaitMode))}"))
    timeout = seconds_of(wait.timeout) if wait.HasField("timeout") else _DEFAULT_WAIT
    if not 0 <= timeout <= _LONGEST_WAIT:
        faults.append(FieldFault("wait.timeout", f"must be from 0 to {_LONGEST_WAIT:.0f} seconds"))
    if faults:
        raise InvalidFields(faults)
    return request_id, "NONE" if mode == "NONE" else "QUORUM" if mode == "QUORUM" else "ALL", timeout
