"""The gate before every gRPC call, on a real server and a real channel."""

from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.harness.waiting import PATIENCE
from trunkline import auth, errors, rpc
from trunkline.guess_brake import MOST_WRONG
from trunkline.secret import Secret
from trunkline.settings import Listen
from trunkline.v1 import router_pb2, router_pb2_grpc

SERVICE = "/trunkline.v1.RouterService/"
SCOPES = {
    SERVICE + "PickChannel": auth.PICK,
    SERVICE + "PickChannels": auth.PICK,
    SERVICE + "GetRouterStatus": auth.PICK,
    SERVICE + "Invalidate": auth.INVALIDATE,
}


_Servicer: Any = router_pb2_grpc.RouterServiceServicer  # abstract in its stub; here a part of it will do


class Sample(_Servicer):  # type: ignore[misc]  # see above
    """Handlers that refuse, break and answer."""

    async def PickChannel(self, request: router_pb2.PickChannelRequest, _context: Any) -> Any:
        """Refuse, or break."""
        if request.pick.model == "boom":
            raise KeyError("a secret: sk-hidden")
        raise errors.NoChannel(group="default", model=request.pick.model, revision=3, considered=2)

    async def PickChannels(self, requests: AsyncIterator[Any], _context: Any) -> AsyncIterator[Any]:
        """Answer each message, then refuse."""
        async for _ in requests:
            yield router_pb2.PickChannelsResponse(answers_request=True)
        raise errors.Draining

    async def GetRouterStatus(self, _request: Any, _context: Any) -> Any:
        """Say who calls."""
        who = rpc.caller()
        return router_pb2.GetRouterStatusResponse(router_id=who.request_id, version="+".join(sorted(who.scopes)))

    async def Invalidate(self, _requests: Any, context: Any) -> None:
        """Answer by writing, as a coroutine."""
        await context.write(router_pb2.InvalidateResponse(router_id="r"))


@pytest.fixture
async def server() -> AsyncIterator[rpc.Server]:
    """A server on a free port."""
    table = auth.TokenTable.of(Secret("adm"), Secret("svc"))
    served = rpc.Server(Listen("127.0.0.1", 0), table, SCOPES)
    router_pb2_grpc.add_RouterServiceServicer_to_server(Sample(), served.grpc)
    await served.start()
    await served.set_serving(serving=True)
    yield served
    await served.stop(0)


@pytest.fixture
async def dialled(server: rpc.Server) -> AsyncIterator[rpc.Dialled]:
    """A channel with the service token."""
    peer = rpc.dial(server.address, Secret("svc"))
    yield peer
    await peer.channel.close()


def stub_of(dialled: rpc.Dialled) -> Any:
    """The stub on a channel."""
    return router_pb2_grpc.RouterServiceStub(dialled.channel)


async def refusal(call: Any) -> rpc.RefusalRead:
    """How a call is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return rpc.read_error(caught.value)


def picking(model: str) -> router_pb2.PickChannelRequest:
    """Ask for a model."""
    return router_pb2.PickChannelRequest(pick=router_pb2.Pick(model=model, group="default"))


async def test_a_refusal_arrives_with_its_reason_values_and_request_id(dialled: rpc.Dialled) -> None:
    """All that varies is in the metadata, the caller's own request id too."""
    metadata = (*dialled.metadata, ("x-request-id", "mine"))
    read = await refusal(stub_of(dialled).PickChannel(picking("m"), metadata=metadata, timeout=PATIENCE))
    assert read.reason == errors.Reason.NO_CHANNEL
    assert read.metadata == {
        "group": "default",
        "model": "m",
        "revision": "3",
        "considered": "2",
        "request_id": "mine",
    }


async def test_an_unforeseen_fault_is_internal_and_shows_nothing(dialled: rpc.Dialled) -> None:
    """Its text goes to the log alone."""
    read = await refusal(stub_of(dialled).PickChannel(picking("boom"), metadata=dialled.metadata, timeout=PATIENCE))
    assert (read.code, read.reason) == (errors.Code.INTERNAL, errors.Reason.INTERNAL)
    assert "sk-hidden" not in read.message + str(read.metadata)


async def test_a_unary_call_without_a_deadline_is_refused(dialled: rpc.Dialled) -> None:
    """A caller that would wait for ever is told so."""
    read = await refusal(stub_of(dialled).PickChannel(picking("m"), metadata=dialled.metadata))
    assert read.reason == errors.Reason.DEADLINE_MISSING


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ((), errors.Reason.TOKEN_INVALID),
        ((("authorization", "Bearer nobody"),), errors.Reason.TOKEN_INVALID),
        ((("authorization", "Basic svc"),), errors.Reason.TOKEN_INVALID),
    ],
)
async def test_a_call_needs_a_token_that_is_known(dialled: rpc.Dialled, metadata: Any, reason: errors.Reason) -> None:
    """On unary calls and on streams."""
    stub = stub_of(dialled)
    assert (await refusal(stub.PickChannel(picking("m"), metadata=metadata, timeout=PATIENCE))).reason == reason
    stream = stub.PickChannels(metadata=metadata, timeout=PATIENCE)
    assert (await refusal(stream.read())).reason == reason


async def test_a_token_without_the_scope_is_told_which(dialled: rpc.Dialled) -> None:
    """The service token may not invalidate."""
    stream = stub_of(dialled).Invalidate(metadata=dialled.metadata, timeout=PATIENCE)
    read = await refusal(stream.read())
    assert (read.reason, read.metadata["scope"]) == (errors.Reason.SCOPE_MISSING, auth.INVALIDATE)


async def test_a_stream_answers_and_may_end_in_a_refusal(dialled: rpc.Dialled) -> None:
    """Answers first, then the typed end."""
    stream = stub_of(dialled).PickChannels(metadata=dialled.metadata, timeout=PATIENCE)
    await stream.write(router_pb2.PickChannelsRequest())
    assert (await stream.read()).answers_request
    await stream.done_writing()
    read = await refusal(stream.read())
    assert (read.reason, read.retry_delay) == (errors.Reason.DRAINING, errors.RETRY_DELAY)


async def test_a_streaming_handler_may_write_instead_of_yield(server: rpc.Server) -> None:
    """Both of gRPC's styles pass the gate."""
    peer = rpc.dial(server.address, Secret("adm"))
    stream = stub_of(peer).Invalidate(metadata=peer.metadata, timeout=PATIENCE)
    assert (await stream.read()).router_id == "r"
    assert await stream.read() == grpc.aio.EOF
    await peer.channel.close()


async def test_a_handler_knows_its_caller(dialled: rpc.Dialled) -> None:
    """Scopes and the request id, cut to a bound."""
    metadata = (*dialled.metadata, ("x-request-id", "r" * 1000))
    answer = await stub_of(dialled).GetRouterStatus(
        router_pb2.GetRouterStatusRequest(), metadata=metadata, timeout=PATIENCE
    )
    assert answer.version == "credentials+pick"
    assert answer.router_id == "r" * 128


async def test_health_and_reflection_are_open(dialled: rpc.Dialled) -> None:
    """Load balancers and grpcurl need no token and no deadline."""
    health: Any = health_pb2_grpc.HealthStub(dialled.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service="trunkline.v1.RouterService"))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(cast("Any", dialled.channel))
    stream = reflection.ServerReflectionInfo()
    await stream.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    names = {service.name for service in (await stream.read()).list_services_response.service}
    assert {"trunkline.v1.RouterService", "grpc.health.v1.Health"} <= names
    stream.cancel()


async def test_a_port_in_use_is_an_os_error_that_names_it(server: rpc.Server) -> None:
    """Not a crash out of the library."""
    second = rpc.Server(Listen.parse(server.address), auth.TokenTable({}), SCOPES)
    with pytest.raises(OSError, match=server.address):
        await second.start()


NONSENSE = [b"\xff" * 8, b"\x0a\x05ab", b"\x0a\x04\x12\x02\xff\xfe"]
"""No protobuf, a part that is cut off, text that is no UTF-8."""


def raw(dialled: rpc.Dialled, method: str, *, streams: bool) -> Any:
    """A method called with bytes for messages."""
    shape = dialled.channel.stream_stream if streams else dialled.channel.unary_unary
    return shape(method, request_serializer=bytes, response_deserializer=bytes)


async def answer_to(stream: Any, message: bytes) -> Any:
    """The answer to one message of a stream; a write fails as well once the call is refused."""
    await stream.write(message)
    return await stream.read()


@pytest.mark.parametrize("message", NONSENSE)
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize(
    ("method", "streams"),
    [("PickChannel", False), ("PickChannels", True)],
)
async def test_what_is_no_message_is_read_for_known_callers_alone_and_is_their_fault(
    dialled: rpc.Dialled, caplog: pytest.LogCaptureFixture, message: bytes, known: bool, method: str, streams: bool
) -> None:
    """A typed refusal and no trace of a stack: the token first, then the message."""
    metadata = dialled.metadata if known else (("authorization", "Bearer nobody"),)
    call = raw(dialled, SERVICE + method, streams=streams)
    if streams:
        read = await refusal(answer_to(call(metadata=metadata, timeout=PATIENCE), message))
    else:
        read = await refusal(call(message, metadata=metadata, timeout=PATIENCE))
    assert read.reason == (errors.Reason.INVALID_FIELDS if known else errors.Reason.TOKEN_INVALID)
    assert not any(record.exc_info for record in caplog.records)
    assert "Traceback" not in caplog.text


OPEN_METHODS = [
    ("/grpc.health.v1.Health/Check", False),
    ("/grpc.health.v1.Health/List", False),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", True),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", True),
]


@pytest.mark.parametrize(("method", "streams"), OPEN_METHODS)
async def test_nonsense_to_an_open_method_is_a_refusal_without_a_trace(
    dialled: rpc.Dialled, caplog: pytest.LogCaptureFixture, method: str, streams: bool
) -> None:
    """Anybody may send it, so it must not fill the log."""
    call = raw(dialled, method, streams=streams)
    if streams:
        read = await refusal(answer_to(call(timeout=PATIENCE), NONSENSE[0]))
    else:
        read = await refusal(call(NONSENSE[0], timeout=PATIENCE))
    assert read.reason == errors.Reason.INVALID_FIELDS
    assert "Traceback" not in caplog.text


async def test_health_can_be_listed(dialled: rpc.Dialled) -> None:
    """Every service's at once."""
    health: Any = health_pb2_grpc.HealthStub(dialled.channel)
    listed = await health.List(cast("Any", health_pb2).HealthListRequest(), timeout=PATIENCE)
    serving = health_pb2.HealthCheckResponse.SERVING
    assert {name: entry.status for name, entry in listed.statuses.items()} == {
        "": serving,
        "trunkline.v1.RouterService": serving,
    }


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        ("trunkline.v1.RouterService", "trunkline/v1/router.proto"),
        ("trunkline.v1.RouterService.PickChannel", "trunkline/v1/router.proto"),
        ("trunkline.v1.PickChannelRequest", "trunkline/v1/router.proto"),
        ("trunkline.v1.RouterService.Nothing", ""),
        ("Nothing", ""),
        ("", ""),
    ],
)
async def test_reflection_finds_methods_in_both_versions(
    dialled: rpc.Dialled, version: str, symbol: str, file: str
) -> None:
    """As grpcurl and ghz ask for them."""
    method: Any = dialled.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    stream = method(timeout=PATIENCE)
    await stream.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol))
    answer = await stream.read()
    stream.cancel()
    files = answer.file_descriptor_response.file_descriptor_proto
    names = [descriptor_pb2.FileDescriptorProto.FromString(written).name for written in files]
    assert (file in names) if file else answer.error_response.error_code == errors.Code.NOT_FOUND


async def test_whoever_guesses_tokens_is_told_to_wait_and_a_right_token_is_not(dialled: rpc.Dialled) -> None:
    """From one address, over unary calls and streams together; a call without a token is no guess."""
    stub = stub_of(dialled)
    reasons = []
    for number in range(MOST_WRONG + 5):
        wrong = (("authorization", f"Bearer guess-{number}"),)
        call = stub.PickChannel(picking("m"), metadata=wrong, timeout=PATIENCE)
        reasons.append((await refusal(call)).reason)
    assert reasons[0] == errors.Reason.TOKEN_INVALID
    assert reasons[-1] == errors.Reason.TOO_MANY_WRONG_TOKENS
    stream = stub.PickChannels(metadata=(("authorization", "Bearer guess"),), timeout=PATIENCE)
    assert (await refusal(stream.read())).reason == errors.Reason.TOO_MANY_WRONG_TOKENS
    assert (await refusal(stub.PickChannel(picking("m"), timeout=PATIENCE))).reason == errors.Reason.TOKEN_INVALID
    right = stub.PickChannel(picking("m"), metadata=dialled.metadata, timeout=PATIENCE)
    assert (await refusal(right)).reason == errors.Reason.NO_CHANNEL


async def test_a_message_larger_than_any_of_ours_is_not_taken(dialled: rpc.Dialled) -> None:
    """Whoever sends it: it is refused before it is held."""
    call = raw(dialled, SERVICE + "PickChannel", streams=False)(
        bytes(5 << 20), metadata=dialled.metadata, timeout=PATIENCE
    )
    assert (await refusal(call)).code == errors.Code.RESOURCE_EXHAUSTED
