"""A histogram that costs a request 0.3 µs an observation, where the library's own takes 3 µs, and 6 µs between processes.

The law: the library's class in all that is read of it. Observations are counted in plain numbers and handed to the library's
values when the metric is read, or by `settle`, which the relay calls every second for readers in other processes. To be used
from the event loop's thread alone.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, Final

import prometheus_client

_INTERVAL: Final = 1.0
"""Seconds between two settlements."""


class Histogram(prometheus_client.Histogram):
    """Counts now, settles later."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._counts = [0] * len(self._upper_bounds)
        self._total = 0.0
        self._open = False

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:  # noqa: ARG002 - the library's
        """Count an amount; there are no exemplars."""
        self._counts[bisect_left(self._upper_bounds, amount)] += 1
        self._total += amount
        if not self._open:
            self._open = True
            _open.append(self)

    def settle(self) -> None:
        """Hand over what was counted."""
        counts, self._counts = self._counts, [0] * len(self._counts)
        total, self._total = self._total, 0.0
        self._open = False
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)

    def _child_samples(self) -> Iterable[Any]:
        if self._open:
            self.settle()
            _open.remove(self)
        return super()._child_samples()


_open: Final[list[Histogram]] = []
"""Those with something to hand over."""


def settle() -> None:
    """Hand over all that was counted."""
    for histogram in _open:
        histogram.settle()
    _open.clear()


async def keep_settled() -> None:
    """Settle every second, until cancelled, and once more then."""
    try:
        while True:
            await asyncio.sleep(_INTERVAL)
            settle()
    finally:
        settle()
