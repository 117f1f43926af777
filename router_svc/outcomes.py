"""What relays report of their attempts: metrics, and the latest of each channel.

The law: bounded whatever is reported. The channels heard of longest ago are forgotten first, and metrics name at most
`NAMED` channels; the rest are counted together.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from router_svc import metrics

KEPT: Final = 10_000
"""Channels whose latest outcomes are kept."""
NAMED: Final = 1_000
"""Channels that have metrics of their own."""
_OTHERS: Final = "other"


@dataclass(slots=True)
class ChannelRecord:
    """The latest of one channel."""

    successes: int = 0
    failures: int = 0
    last_result: str = ""
    last_http_status: int = 0


class Outcomes:
    """Takes outcomes."""

    def __init__(self) -> None:
        """Begin with none."""
        self._records: OrderedDict[int, ChannelRecord] = OrderedDict()
        self._named: set[int] = set()

    def take(self, channel_id: int, result: str, http_status: int, times: int = 1) -> None:
        """Take an outcome that came so many times; `result` is its name, such as `SUCCESS`."""
        named = self._named
        if channel_id not in named and len(named) < NAMED:
            named.add(channel_id)
        metrics.OUTCOMES.add(times, channel_id if channel_id in named else _OTHERS, result)
        record = self._records.get(channel_id)
        if record is None:
            record = self._records[channel_id] = ChannelRecord()
            if len(self._records) > KEPT:
                self._records.popitem(last=False)
        else:
            self._records.move_to_end(channel_id)
        if result == "SUCCESS":
            record.successes += times
        else:
            record.failures += times
        record.last_result, record.last_http_status = result, http_status

    def of(self, channel_id: int) -> ChannelRecord | None:
        """Give the latest of a channel."""
        return self._records.get(channel_id)
