"""CPU of the relay's HTTP clients towards upstreams, against the canned upstream. `python -m bench.upstream_client`.

Each client runs in a process of its own on uvloop and keeps 32 connections busy; rounds alternate between the clients, so
that a machine that turns slow turns slow for all. The figure is CPU, user and system, of that process, the measurement's own
loop included.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.canned import Canned
from relay_svc.plan import TimeLimits
from relay_svc.upstream import Upstream, UpstreamRequest
from relay_svc.upstream_http1 import Http1Upstream
from relay_svc.upstream_http1.tls import ResumingContext
from relay_svc.upstream_httpx2 import Httpx2Upstream

CONNECTIONS = 32
ROUNDS = 5
CLIENTS: dict[str, Callable[..., Upstream]] = {"http1": Http1Upstream, "httpx2": Httpx2Upstream}
REQUESTS = {("http1", False): 20_000, ("http1", True): 4_000, ("httpx2", False): 1_500, ("httpx2", True): 500}
"""Requests a round, by client and whether streamed: about a second of each."""
LIMITS = TimeLimits(connect=5, first_byte=30, idle=30, total=60)
HEADERS = [
    (b"content-type", b"application/json"),
    (b"accept", b"application/json"),
    (b"user-agent", b"OpenAI/Python 3.54.0"),
    (b"accept-encoding", b"identity"),
    (b"x-request-id", b"3f8a2d1c9b7e4f60a5d2c1b0e9f8a7d6"),
    (b"authorization", b"Bearer sk-" + b"0" * 40),
]


def main() -> None:
    """Measure every client on both kinds of answer, without and with TLS, and print a table each."""
    with tempfile.TemporaryDirectory() as name:
        certificate = identity(Path(name) / "localhost.pem")
        for file in ("", str(certificate)):
            with canned(file) as port:
                for stream in (False, True):
                    kind = "a stream of 21 chunks" if stream else "1 KB JSON"
                    table(f"{kind}, TLS" if file else kind, rounds(port, file, stream=stream))


@contextlib.contextmanager
def canned(certificate: str) -> Iterator[str]:
    """The canned upstream in a process of its own; its port."""
    command = [sys.executable, "-m", "bench.upstream_client", "serve", certificate]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as upstream:
        assert upstream.stdout is not None
        try:
            yield upstream.stdout.readline().strip()
        finally:
            upstream.kill()


async def serve(certificate: str) -> None:
    """Be the canned upstream; print the port."""
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0, ssl=tls, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def rounds(port: str, certificate: str, *, stream: bool) -> dict[str, list[float]]:
    """CPU microseconds a request of each client, one figure a round, the rounds interleaved."""
    figures: dict[str, list[float]] = {name: [] for name in CLIENTS}
    for _ in range(ROUNDS):
        for name in CLIENTS:
            command = [sys.executable, "-m", "bench.upstream_client", name, port, str(int(stream)), certificate]
            printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=120).stdout
            figures[name].append(json.loads(printed))
    return figures


def table(kind: str, figures: dict[str, list[float]]) -> None:
    """Print one kind's figures."""
    print(f"\n{kind}, {CONNECTIONS} connections, {ROUNDS} interleaved rounds: CPU µs a request, median (min–max)")
    for name, values in figures.items():
        print(f"  {name:8} {statistics.median(values):9.1f}   ({min(values):.1f}–{max(values):.1f})")


async def one(name: str, port: str, certificate: str, *, stream: bool) -> float:
    """CPU microseconds a request of one client, after a warm-up."""
    tls = None
    if certificate:
        tls = ResumingContext()
        tls.load_verify_locations(certificate)
    upstream = CLIENTS[name](max_connections=2000, max_idle=500, tls=tls)
    body = json.dumps({"model": "m", "stream": stream, "messages": ["x" * 900]}, separators=(",", ":")).encode()
    where = f"https://localhost:{port}" if certificate else f"http://127.0.0.1:{port}"
    request = UpstreamRequest(f"{where}/v1/chat/completions", HEADERS, body, LIMITS)
    count = REQUESTS[name, stream]
    await load(upstream, request, count // 10)
    before = time.process_time()
    await load(upstream, request, count)
    took = time.process_time() - before
    await upstream.aclose()
    return took / count * 1e6


async def load(upstream: Upstream, request: UpstreamRequest, count: int) -> None:
    """Send `count` requests, as many at once as there are connections."""
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            answer = await upstream.send(request)
            assert answer.status == 200
            while await answer.read():
                pass
            await answer.aclose()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(CONNECTIONS):
            tasks.create_task(worker())


def identity(file: Path) -> Path:
    """Write a certificate for localhost that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return file


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            main()
        case ["serve", certificate]:
            uvloop.run(serve(certificate))
        case [name, port, stream, certificate]:
            print(uvloop.run(one(name, port, certificate, stream=stream == "1")))
