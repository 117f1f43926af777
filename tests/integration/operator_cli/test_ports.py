"""Ports are ours from before anything starts until after everything has stopped."""

from __future__ import annotations

import socket

import pytest

from operator_cli import ports
from operator_cli.errors import OperatorError, PortInUseError
from tests.harness.waiting import PATIENCE


def bind(number: int, *options: int) -> socket.socket:
    """Bind the port as another program would."""
    other = socket.socket()
    for option in options:
        other.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        other.bind((ports.HOST, number))
    except OSError:
        other.close()
        raise
    return other


@pytest.mark.parametrize("options", [(), (socket.SO_REUSEADDR,)], ids=["plain", "SO_REUSEADDR"])
def test_a_reserved_port_is_kept_from_others_although_nobody_listens(options: tuple[int, ...]) -> None:
    """Between two lives of a router nobody else can take its port."""
    port = ports.reserve(0, "--router-port")
    with port.socket, pytest.raises(OSError, match="already in use"):
        bind(port.number, *options)


def test_a_child_serves_beside_the_reservation() -> None:
    """Connections go to who listens; the reservation gets none."""
    port = ports.reserve(0, "--router-port")
    with port.socket, bind(port.number, socket.SO_REUSEPORT) as child:
        child.listen()
        for _ in range(20):
            with socket.create_connection((ports.HOST, port.number), timeout=PATIENCE):
                child.accept()[0].close()


def test_a_stranger_who_shares_ports_is_noticed() -> None:
    """SO_REUSEPORT alone would let us in beside it, and half of the calls would go astray."""
    with bind(0, socket.SO_REUSEPORT) as stranger:
        stranger.listen()
        with pytest.raises(PortInUseError, match="--router-port"):
            ports.reserve(stranger.getsockname()[1], "--router-port")


def test_connections_of_the_last_run_do_not_keep_a_port() -> None:
    """A port whose old connections linger (TIME_WAIT) is free for the next start, of either kind."""
    for take in (ports.listen, ports.reserve):
        server = ports.listen(0, "--relay-port")
        number = server.number
        client = socket.create_connection((ports.HOST, number), timeout=PATIENCE)
        served = server.socket.accept()[0]
        served.close()  # who closes first lingers
        client.close()
        server.socket.close()
        take(number, "--relay-port").socket.close()


def test_a_port_that_becomes_free_in_time_is_taken() -> None:
    """What a killed run left behind may still be ending."""
    taken = bind(0)
    with pytest.raises(PortInUseError):
        ports.listen(taken.getsockname()[1], "--relay-port", patience=0.1)
    taken.close()


def test_a_port_we_may_not_have_is_said() -> None:
    """Whatever the system says is passed on with the flag."""
    with pytest.raises(OperatorError, match="--relay-port"), bind(0) as taken:
        ports.listen(taken.getsockname()[1], "--relay-port")
