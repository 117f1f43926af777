"""Metrics that cost a request 0.1 µs each, where the library's own take 1 to 3 µs, and twice that between processes.

The law: the library's classes in all that is read of them. What happens is noted in plain numbers and handed to the library's
values when the metric is read, or by `settle`, which the relay calls every second for readers in other processes. To be used
from the event loop's thread alone.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any, Final

import prometheus_client

_INTERVAL: Final = 1.0
"""Seconds between two settlements."""


class Histogram(prometheus_client.Histogram):
    """Notes now, sorts into buckets later."""

    observe: Callable[[float], None]  # type: ignore[assignment]  # no exemplars

    def _metric_init(self) -> None:
        super()._metric_init()
        self._seen: list[float] = []
        self.observe = self._seen.append
        _all.append(self)

    def settle(self) -> None:
        """Hand over what was noted."""
        seen = sorted(self._seen)
        self._seen.clear()
        if not seen:
            return
        self._sum.inc(sum(seen))
        below = 0
        for bound, bucket in zip(self._upper_bounds, self._buckets, strict=True):
            upto = bisect_right(seen, bound)
            if upto > below:
                bucket.inc(upto - below)
            below = upto

    def _child_samples(self) -> Iterable[Any]:
        self.settle()
        return super()._child_samples()


class Counter(prometheus_client.Counter):
    """Counts now, adds up later."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._noted = 0.0
        _all.append(self)

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:  # noqa: ARG002 - the library's
        """Count; there are no exemplars."""
        self._noted += amount

    def settle(self) -> None:
        """Hand over what was noted."""
        noted, self._noted = self._noted, 0.0
        if noted:
            self._value.inc(noted)

    def _child_samples(self) -> Iterable[Any]:
        self.settle()
        return super()._child_samples()


class Gauge(prometheus_client.Gauge):
    """Goes up and down now, is set later."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._noted = 0.0
        _all.append(self)

    def inc(self, amount: float = 1) -> None:
        """Go up."""
        self._noted += amount

    def dec(self, amount: float = 1) -> None:
        """Go down."""
        self._noted -= amount

    def settle(self) -> None:
        """Hand over what was noted."""
        noted, self._noted = self._noted, 0.0
        if noted:
            self._value.inc(noted)

    def _child_samples(self) -> Iterable[Any]:
        self.settle()
        return super()._child_samples()


_all: Final[list[Histogram | Counter | Gauge]] = []
"""Every metric that can hold something, each child of one by itself; as many as the library keeps."""


def settle() -> None:
    """Hand over all that was noted."""
    for metric in _all:
        metric.settle()


async def keep_settled() -> None:
    """Settle every second, until cancelled, and once more then."""
    try:
        while True:
            await asyncio.sleep(_INTERVAL)
            settle()
    finally:
        settle()
