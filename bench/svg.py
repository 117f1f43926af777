"""Draws a curve or a row of bars as SVG. Pure.

A curve is `{"name", "unit", "x": [], "series": {label: []}, "command", "date"}`, with `x_label`
where the axis has a name; an axis is logarithmic where its values span more than a factor of 30, but for an x that is said to
be `linear_x`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 84, 28, 98, 66
COLOURS = ("#0b6e99", "#d9730d", "#4d8b31", "#a23b72", "#6b5b95", "#8a6d3b", "#c0392b")
_LOGARITHMIC = 30
_FONT = "font-family='system-ui, Segoe UI, Helvetica, Arial, sans-serif'"

Scale = Callable[[float], float]


def curve(data: Mapping[str, Any]) -> str:
    """Lines over a common x. A value that is None is left out."""
    xs, series = data["x"], data["series"]
    ys = [value for values in series.values() for value in values if value is not None]
    across, x_ticks = _axis(xs, LEFT, WIDTH - RIGHT, by_tens=_spans_tens(xs) and not data.get("linear_x"), exact=True)
    up, y_ticks = _axis(ys, HEIGHT - BOTTOM, TOP, by_tens=_spans_tens(ys))
    marks = [
        *_grid(y_ticks, up, x_ticks, across),
        *_legend(series),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 24, data.get("x_label", ""), anchor="middle"),
        *(_line(xs, values, across, up, colour) for values, colour in zip(series.values(), COLOURS, strict=False)),
    ]
    return _page(data, marks, by_tens=_spans_tens(ys))


def bars(data: Mapping[str, Any]) -> str:
    """One horizontal bar for each name in `x`, with the value of the only series and its range in `ranges`."""
    values, ranges = next(iter(data["series"].values())), data["ranges"]
    left = 170
    every = [*values, *(end for pair in ranges for end in pair)]
    across, ticks = _axis(every, left, WIDTH - RIGHT - 60, by_tens=_spans_tens(every))
    step = (HEIGHT - BOTTOM - TOP) / len(values)
    marks = []
    for tick in ticks:
        marks.append(_rule(across(tick), TOP, across(tick), HEIGHT - BOTTOM))
        marks.append(_text(across(tick), HEIGHT - BOTTOM + 20, _number(tick), anchor="middle"))
    for row, (name, value, (low, high)) in enumerate(zip(data["x"], values, ranges, strict=True)):
        y, colour = TOP + step * (row + 0.5), COLOURS[1 if name.startswith("Trunkline") else 0]
        x, thick = across(value), step * 0.56
        marks += [
            f"<rect x='{left}' y='{y - thick / 2:.1f}' width='{x - left:.1f}' height='{thick:.1f}' fill='{colour}' rx='2'/>",
            _rule(across(low), y, across(high), y, "#222"),
            _text(left - 10, y + 4, name, anchor="end"),
            _text(max(x, across(high)) + 8, y + 4, _number(value), weight=600),
        ]
    return _page(data, marks, by_tens=_spans_tens(every))


def _page(data: Mapping[str, Any], marks: Iterable[str], *, by_tens: bool) -> str:
    size = f"viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}'"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' {size} {_FONT}>"
    body = [
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='#fff'/>",
        _text(24, 32, data["name"], size=17, weight=600),
        _text(24, 53, data["unit"] + "; logarithmic" * by_tens, colour="#555"),
        *marks,
        _text(24, HEIGHT - 8, f"{data['command']}  ·  {data['date']}", size=10, colour="#999"),
    ]
    return "\n".join([head, *body, "</svg>", ""])


def _spans_tens(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) > _LOGARITHMIC


def _axis(
    values: Sequence[float], start: float, end: float, *, by_tens: bool, exact: bool = False
) -> tuple[Scale, list[float]]:
    """A scale, and where its ticks are. `exact` begins and ends with the values themselves."""
    low, high = min(values), max(values)
    if by_tens:
        first, last = math.log10(low), math.log10(high)
        if not exact:
            first, last = math.floor(first), math.ceil(last)
        ticks = [10.0**power for power in range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1)]
        return (lambda value: start + (math.log10(value) - first) / (last - first) * (end - start)), ticks
    step = _step(high)
    first = low if exact else 0.0
    last = high if exact else step * math.ceil(high / step - 1e-9)
    span = (last - first) or 1.0
    ticks = [step * n for n in range(math.ceil(first / step), math.floor(last / step + 1e-9) + 1)]
    return (lambda value: start + (value - first) / span * (end - start)), ticks


def _step(high: float) -> float:
    """A round step that gives some five of them."""
    raw = (high or 1.0) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    return power * next(factor for factor in (1, 2, 2.5, 5, 10) if raw <= factor * power)


def _grid(y_ticks: Sequence[float], up: Scale, x_ticks: Sequence[float], across: Scale) -> Iterable[str]:
    for tick in y_ticks:
        yield _rule(LEFT, up(tick), WIDTH - RIGHT, up(tick))
        yield _text(LEFT - 10, up(tick) + 4, _number(tick), anchor="end")
    for tick in x_ticks:
        yield _rule(across(tick), HEIGHT - BOTTOM, across(tick), HEIGHT - BOTTOM + 5, "#888")
        yield _text(across(tick), HEIGHT - BOTTOM + 20, _number(tick), anchor="middle")
    yield _rule(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "#888")


def _legend(labels: Iterable[str]) -> Iterable[str]:
    x = 24.0
    for label, colour in zip(labels, COLOURS, strict=False):
        yield f"<line x1='{x}' y1='74' x2='{x + 18}' y2='74' stroke='{colour}' stroke-width='3'/>"
        yield _text(x + 24, 78, label)
        x += 44 + 6.6 * len(label)


def _line(xs: Sequence[float], values: Sequence[float | None], across: Scale, up: Scale, colour: str) -> str:
    points = [(across(x), up(value)) for x, value in zip(xs, values, strict=True) if value is not None]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dotted = points if len(points) <= 40 else []
    dots = "".join(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{colour}'/>" for x, y in dotted)
    return f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>{dots}"


def _rule(x1: float, y1: float, x2: float, y2: float, colour: str = "#e3e3e3") -> str:
    return f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{colour}'/>"


def _text(
    x: float, y: float, text: str, *, size: int = 12, anchor: str = "start", weight: int = 400, colour: str = "#222"
) -> str:
    style = f"font-size='{size}' text-anchor='{anchor}' font-weight='{weight}' fill='{colour}'"
    return f"<text x='{x:.1f}' y='{y:.1f}' {style}>{escape(text)}</text>"


def _number(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):g}{letter}" if value % 100 == 0 else f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
