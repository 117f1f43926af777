"""Envoy's external authorization in Python: knows one API key and puts the upstream's in its place.

Runs in the peer's own virtual environment, on grpc.aio and uvloop, and prints its port. `python ext_authz.py KEY`.
"""

import asyncio
import sys

import grpc
import uvloop
from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc
from envoy.type.v3 import http_status_pb2
from google.rpc import code_pb2, status_pb2

_UPSTREAM = base_pb2.HeaderValueOption(header=base_pb2.HeaderValue(key="authorization", value="Bearer sk-canned"))
_ALLOWED = external_auth_pb2.CheckResponse(ok_response=external_auth_pb2.OkHttpResponse(headers=[_UPSTREAM]))
_REFUSED = external_auth_pb2.CheckResponse(
    status=status_pb2.Status(code=code_pb2.UNAUTHENTICATED),
    denied_response=external_auth_pb2.DeniedHttpResponse(
        status=http_status_pb2.HttpStatus(code=http_status_pb2.Unauthorized)
    ),
)


class Authorizer(external_auth_pb2_grpc.AuthorizationServicer):
    """Answers every request by its API key."""

    def __init__(self, keys: frozenset[str]) -> None:
        self._keys = keys

    async def Check(self, request, context):  # noqa: ANN001, ANN201, ARG002, N802 - named and typed by gRPC
        """Allow or refuse."""
        given = request.attributes.request.http.headers.get("authorization", "")
        return _ALLOWED if given.removeprefix("Bearer ") in self._keys else _REFUSED


async def main(key: str) -> None:
    """Serve until killed."""
    server = grpc.aio.server()
    external_auth_pb2_grpc.add_AuthorizationServicer_to_server(Authorizer(frozenset({key})), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
