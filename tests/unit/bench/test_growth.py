"""What a router takes is drawn one curve a unit."""

from __future__ import annotations

from bench.router.growth import measured_in

COLUMNS = {
    "full load, s": [1.0, 2.0],
    "resident, MiB": [3.0, 4.0],
    "a pick, 32 a message, CPU µs": [5.0, 6.0],
}


def test_a_curve_holds_what_is_measured_in_its_unit_and_nothing_else() -> None:
    """Microseconds of CPU are no seconds, though they end as those do."""
    assert measured_in("s", COLUMNS) == {"full load": [1.0, 2.0]}
    assert measured_in("MiB", COLUMNS) == {"resident": [3.0, 4.0]}
    assert measured_in("CPU µs", COLUMNS) == {"a pick, 32 a message": [5.0, 6.0]}
    assert not measured_in("ms", COLUMNS)
