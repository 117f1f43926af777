"""Pictures of results."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

from bench.svg import bars, curve

CURVE = {"name": "a < b", "unit": "µs", "command": "make bench", "date": "2026-11-24"}
SVG = "{http://www.w3.org/2000/svg}"


def parsed(picture: str) -> ET.Element:
    """What a browser would see."""
    return ET.fromstring(picture)  # noqa: S314 - we drew it ourselves


def texts(picture: str) -> list[str | None]:
    """All that is written on it."""
    return [element.text for element in parsed(picture).iter(f"{SVG}text")]


def test_a_curve_shows_its_name_unit_labels_command_and_date() -> None:
    """Whoever finds the picture alone can tell what it is and make it again."""
    shown = texts(curve({**CURVE, "x": [1, 10], "series": {"nginx": [1.0, 2.0]}, "x_label": "connections"}))
    assert {"a < b", "µs", "nginx", "connections", "make bench  ·  2026-11-24"} <= set(shown)


def test_what_was_not_measured_is_left_out_of_a_line() -> None:
    """A gap is no zero."""
    picture = curve({**CURVE, "x": [1, 2, 3], "series": {"nginx": [1.0, None, 3.0]}})
    lines = [element.attrib["points"] for element in parsed(picture).iter(f"{SVG}polyline")]
    assert [len(points.split()) for points in lines] == [2]


def test_values_over_several_powers_of_ten_get_a_logarithmic_axis() -> None:
    """Each step of ten is as wide as the next."""
    picture = curve({**CURVE, "x": [1, 100, 10_000], "series": {"nginx": [1.0, 1.0, 1.0]}})
    points = next(parsed(picture).iter(f"{SVG}polyline")).attrib["points"].split()
    first, middle, last = (float(point.split(",")[0]) for point in points)
    assert abs((last - middle) - (middle - first)) < 0.2


def test_bars_show_each_value_and_its_range() -> None:
    """The range is a line of its own over the bar."""
    data: dict[str, Any] = {**CURVE, "x": ["nginx", "Trunkline"], "series": {"median": [20.0, 120.0]}}
    shown = texts(bars({**data, "ranges": [(18.0, 25.0), (110.0, 130.0)]}))
    assert {"nginx", "Trunkline", "20", "120"} <= set(shown)
