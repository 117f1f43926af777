"""TLS towards upstreams: verified, resumed, and otherwise the same as without."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from relay_svc.upstream import BrokenAnswer, ConnectFailed
from relay_svc.upstream_http1.tls import ResumingContext, system_context
from tests.harness.waiting import eventually_async, turns
from tests.integration.relay_svc.clients import (
    CHUNKED,
    EVERY,
    OWN,
    Client,
    Line,
    Peer,
    answering,
    asked,
    chunks,
    holds_for,
    once,
    plain,
    post,
    rest_of,
)

HELLO = plain(b"hello")


@dataclass
class Identity:
    """A certificate that vouches for itself."""

    file: Path

    def server(self, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        """What its server uses."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file)
        context.maximum_version = newest
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context

    def trusted(self) -> ResumingContext:
        """What a client uses that trusts it, and nobody else."""
        context = ResumingContext()
        context.load_verify_locations(self.file)
        return context


def identity(folder: Path, name: str = "localhost", hours: int = 1) -> Identity:
    """Make one for a host name; with negative hours it has expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=5))
        .not_valid_after(now + dt.timedelta(hours=hours))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / f"{name}.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return Identity(file)


@holds_for(EVERY)
async def test_a_trusted_upstream_is_spoken_to(client: Client, tmp_path: Path) -> None:
    """Over one connection, request after request, small and large."""
    ours = identity(tmp_path)
    got = b""

    async def manner(line: Line) -> None:
        nonlocal got
        while True:
            got = await line.request()
            await line.send(CHUNKED + chunks(b"he"), chunks(b"llo") + b"0\r\n\r\n")

    async with Peer(manner).serving(ours.server()) as peer, client.open(tls=ours.trusted()) as upstream:
        for size in (0, 1000, 5 << 20):
            assert await asked(upstream, peer.url, b"x" * size) == (200, b"hello")
            assert len(got) == size
        assert peer.connections == 1


@pytest.mark.parametrize("fault", ["unknown", "another name", "expired"])
@holds_for(EVERY)
async def test_an_upstream_that_cannot_prove_its_name_is_told_nothing(
    client: Client, tmp_path: Path, fault: str
) -> None:
    """Signed by nobody known, for another host, or no longer valid."""
    theirs = identity(
        tmp_path, "elsewhere.test" if fault == "another name" else "localhost", -1 if fault == "expired" else 1
    )
    trusting = system_context() if fault == "unknown" else theirs.trusted()
    async with Peer(answering(HELLO)).serving(theirs.server()) as peer, client.open(tls=trusting) as upstream:
        with pytest.raises(ConnectFailed):
            await post(upstream, peer.url)
        await eventually_async(lambda: not peer.open)


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@holds_for(OWN)
async def test_the_next_connection_resumes_the_session(client: Client, tmp_path: Path, newest: ssl.TLSVersion) -> None:
    """It costs less of both ends, and proves the name by the first one's proof; HTTP/1.1 is agreed on each time."""
    ours = identity(tmp_path)
    seen: list[tuple[bool, str | None]] = []

    async def manner(line: Line) -> None:
        tls = line.writer.get_extra_info("ssl_object")
        seen.append((tls.session_reused, tls.selected_alpn_protocol()))
        while True:
            await line.request()
            await line.send(HELLO)

    async with Peer(manner).serving(ours.server(newest)) as peer, client.open(tls=ours.trusted()) as upstream:
        await asked(upstream, peer.url)
        held = [await post(upstream, peer.url) for _ in range(3)]
        for answer in held:
            assert await rest_of(answer) == b"hello"
    assert seen == [(False, "http/1.1"), (True, "http/1.1"), (True, "http/1.1")]


@holds_for(OWN)
async def test_a_session_is_not_resumed_towards_another_host(client: Client, tmp_path: Path) -> None:
    """What one host proved says nothing of another, though it holds the same certificate."""
    ours = identity(tmp_path)
    context = ours.trusted()
    async with Peer(answering(HELLO)).serving(ours.server()) as peer, client.open(tls=context) as upstream:
        await asked(upstream, peer.url)
        assert list(context._sessions) == ["localhost"]
        with pytest.raises(ConnectFailed):
            await asked(upstream, peer.url.replace("localhost", "127.0.0.1"))


@holds_for(EVERY)
async def test_an_answer_cut_short_is_broken_within_tls_too(client: Client, tmp_path: Path) -> None:
    """And what came before is given."""
    ours = identity(tmp_path)
    manner = once(CHUNKED + chunks(b"hello"))
    async with Peer(manner).serving(ours.server()) as peer, client.open(tls=ours.trusted()) as upstream:
        answer = await post(upstream, peer.url)
        assert await answer.read() == b"hello"
        with pytest.raises(BrokenAnswer):
            await answer.read()
        await answer.aclose()


@holds_for(OWN)
async def test_a_stale_connection_is_replaced_within_tls_too(client: Client, tmp_path: Path) -> None:
    """An orderly end of TLS is as much of an end."""
    ours = identity(tmp_path)

    async def manner(line: Line) -> None:
        await line.request()
        await line.send(HELLO)
        await line.head()

    async with Peer(manner).serving(ours.server()) as peer, client.open(tls=ours.trusted()) as upstream:
        for number in (1, 2, 3):
            assert await asked(upstream, peer.url) == (200, b"hello")
            assert peer.connections == number


@holds_for(OWN)
async def test_an_answer_that_is_not_read_stops_its_upstream_within_tls_too(client: Client, tmp_path: Path) -> None:
    """TLS holds buffers of its own, and they are bounded as well."""
    ours = identity(tmp_path)
    piece, count, sent = b"x" * 65536, 800, 0

    async def manner(line: Line) -> None:
        nonlocal sent
        await line.request()
        await line.send(CHUNKED)
        for _ in range(count):
            await line.send(chunks(piece))
            sent += len(piece)
        await line.send(b"0\r\n\r\n")

    async with Peer(manner).serving(ours.server()) as peer, client.open(tls=ours.trusted()) as upstream:
        answer = await post(upstream, peer.url)
        before = -1

        def came_to_a_stop() -> bool:
            nonlocal before
            stopped, before = sent == before, sent
            return stopped and sent > 0

        await eventually_async(came_to_a_stop)
        assert sent < 24 << 20
        assert len(await rest_of(answer)) == len(piece) * count


@holds_for(OWN)
async def test_cancelled_handshakes_leave_nothing(client: Client, tmp_path: Path) -> None:
    """Wherever they were cut off."""
    ours = identity(tmp_path)
    async with Peer(answering(HELLO)).serving(ours.server()) as peer:
        async with client.open(tls=ours.trusted(), max_connections=5) as upstream:
            for count in range(60):
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(asked(upstream, peer.url)) for _ in range(5)]
                    await turns(count)
                    for task in tasks:
                        task.cancel()
            assert await asked(upstream, peer.url) == (200, b"hello")
        await eventually_async(lambda: not peer.open)


def test_the_systems_authorities_are_trusted_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable meant for another program must not decide who may read credentials."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    context = system_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.get_ca_certs()
