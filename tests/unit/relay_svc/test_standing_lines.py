"""The header lines that every answer of the relay carries."""

from typing import Any

from uvicorn.server import ServerState

from relay_svc.exchange import Exchange
from relay_svc.http_protocol import RelayConnection
from trunkline.http_bounds import HttpBounds


async def _serve(_: Exchange) -> None:
    pass


def test_standing_lines_are_those_of_the_connections_own_server_as_they_are_now() -> None:
    """The date goes on, and two servers of one process may say different things."""
    made: Any = RelayConnection.direct(_serve, HttpBounds(), frozenset())
    one, two = made.__new__(made), made.__new__(made)
    one.server_state, two.server_state = ServerState(), ServerState()
    one.server_state.default_headers = [(b"date", b"noon"), (b"server", b"x")]
    two.server_state.default_headers = [(b"date", b"noon"), (b"server", b"y")]
    assert one.standing_lines() == b"date: noon\r\nserver: x\r\n"
    assert two.standing_lines() == b"date: noon\r\nserver: y\r\n"
    assert one.standing_lines() == b"date: noon\r\nserver: x\r\n"
    one.server_state.default_headers = [(b"date", b"one"), (b"server", b"x")]
    assert one.standing_lines() == b"date: one\r\nserver: x\r\n"
