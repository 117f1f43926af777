"""Rapid resets against a gRPC server as every service runs it."""

from bench.resets import Flood, flooded, served


async def test_resets_of_one_connection_cancel_nobody_elses_call() -> None:
    """Twenty thousand calls that are opened and reset at once, by a caller without a token: all others are answered."""
    with served() as (address, _):
        flood = Flood(address)
        answers = await flooded(address, flood, 20_000)
        assert flood.resets >= 20_000
        assert answers.milliseconds
        assert answers.failed == []
