"""Reaching one of several addresses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from relay_svc.upstream_http1.dialling import Address, by_turns, connected
from tests.harness.waiting import PATIENCE
from tests.integration.relay_svc.clients import OWN, Client, Peer, answering, holds_for, plain


def address(port: int, host: str = "127.0.0.1") -> Address:
    """An address as the resolver gives it."""
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))


@contextlib.contextmanager
def refusing() -> Iterator[Address]:
    """An address that refuses: bound, and nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield address(bound.getsockname()[1])


@contextlib.contextmanager
def silent() -> Iterator[Address]:
    """An address that never answers: its listener accepts nothing, and its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        where = listener.getsockname()
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(where)
        yield address(where[1])


@holds_for(OWN)
async def test_an_address_that_refuses_or_is_silent_is_passed_over(client: Client) -> None:
    """A silent one does not cost the whole time in which the kernel tries, which is longer than a test waits."""
    assert client in OWN.values()
    async with Peer(answering(plain(b""))).serving() as peer:
        port = int(peer.url.rpartition(":")[2].partition("/")[0])
        with refusing() as deaf, silent() as mute:
            for before in ([deaf], [mute], [deaf, mute, deaf], [mute, mute]):
                async with asyncio.timeout(PATIENCE):
                    made = await connected([*before, address(port), mute])
                assert made.getpeername()[1] == port
                assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                made.close()


@holds_for(OWN)
async def test_addresses_that_all_refuse_are_a_refusal(client: Client) -> None:
    """Known at once."""
    assert client in OWN.values()
    with refusing() as deaf:
        for addresses in ([deaf], [deaf] * 5):
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(ConnectionRefusedError):
                    await connected(addresses)
    with pytest.raises(OSError, match="no address"):
        await connected([])


@holds_for(OWN)
async def test_dialling_that_is_cut_off_leaves_no_socket(client: Client) -> None:
    """Python would warn of one, and a warning fails this test."""
    assert client in OWN.values()
    with silent() as mute, refusing() as deaf:
        for addresses in ([mute], [mute, mute], [deaf, mute]):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await connected(addresses)


def test_families_take_turns() -> None:
    """Beginning with that of the first; within a family the resolver's order stands."""
    six: list[Address] = [(socket.AF_INET6, number, 0, "", None) for number in range(4)]
    four: list[Address] = [(socket.AF_INET, number, 0, "", None) for number in range(2)]
    assert by_turns([*six, *four]) == [six[0], four[0], six[1], four[1], six[2], six[3]]
    assert by_turns([*four, *six])[:3] == [four[0], six[0], four[1]]
    assert by_turns([]) == []
