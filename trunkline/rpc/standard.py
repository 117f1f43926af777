"""gRPC's own services as served here: health that can be listed, reflection that finds methods.

Law: generic clients work without a schema: `grpcurl describe …PickChannel` and `ghz` ask for a method, and newer ones for
version 1 of reflection, whose messages are those of v1alpha under another name.
"""

from typing import Any, Final

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

# Their stubs are older than they are.
_pb: Any = health_pb2
_Health: Any = health.aio.HealthServicer
_Reflection: Any = reflection.aio.ReflectionServicer
_add_reflection: Any = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
_REFLECTION_V1: Final = "grpc.reflection.v1.ServerReflection"


class Health(_Health):  # type: ignore[misc]  # see above
    """Health, by service or all at once."""

    async def List(self, _request: Any, _context: Any) -> Any:  # noqa: N802 - gRPC's name
        """Every service's health."""
        known = self._server_status.items()
        return _pb.HealthListResponse(statuses={name: _pb.HealthCheckResponse(status=status) for name, status in known})


class Reflection(_Reflection):  # type: ignore[misc]  # see above
    """Reflection whose symbols are methods, too: the library's pool knows the names of services only."""

    def _file_containing_symbol(self, request: Any, fully_qualified_name: str) -> Any:
        return super()._file_containing_symbol(request, _described(fully_qualified_name))


def _described(symbol: str) -> str:
    """The service that a method belongs to; any other symbol is itself."""
    service, _, method = symbol.rpartition(".")
    try:
        found: Any = descriptor_pool.Default().FindServiceByName(service)
    except KeyError:
        return symbol
    return service if method in found.methods_by_name else symbol


def serve_reflection(server: grpc.aio.Server, names: list[str]) -> None:
    """Serve both versions."""
    servicer: Any = Reflection(names)
    _add_reflection(servicer, server)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    methods = {"ServerReflectionInfo": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_REFLECTION_V1, methods),))
