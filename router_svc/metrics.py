"""The router's metrics. What counts picks is cheap and takes many at once, since it stands on the hot path."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from router_svc.snapshot import Snapshot

PREFIX: Final = "trunkline_router_"
_PICK_BUCKETS: Final = (0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0)
_LAG_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_READ_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)


class BulkCounter(Collector):
    """A counter by labels that costs one look-up, and none of the library's locks."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        """Register a counter; its metric ends in `_total`."""
        self._name, self._documentation, self._labels = name, documentation, labels
        self._counts: dict[tuple[object, ...], int] = {}
        REGISTRY.register(self)

    def count(self, *labels: object) -> None:
        """Count one; labels are made text when they are read."""
        self.add(1, *labels)

    def add(self, times: int, *labels: object) -> None:
        """Count so many."""
        counts = self._counts
        counts[labels] = counts.get(labels, 0) + times

    def describe(self) -> Iterator[CounterMetricFamily]:
        """Name the metric."""
        yield CounterMetricFamily(self._name, self._documentation)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Give the state at this moment."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for labels, count in list(self._counts.items()):
            family.add_metric([str(label) for label in labels], count)
        yield family


class BulkHistogram(Collector):
    """A histogram that takes many equal observations at the cost of one, and none of the library's locks."""

    def __init__(self, name: str, documentation: str, buckets: Sequence[float]) -> None:
        """Register a histogram with buckets in seconds."""
        self._name, self._documentation, self._bounds = name, documentation, tuple(buckets)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        REGISTRY.register(self)

    def observe(self, seconds: float, times: int = 1) -> None:
        """Count an observation."""
        self._counts[bisect_left(self._bounds, seconds)] += times
        self._sum += seconds * times

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """Name the metric."""
        yield HistogramMetricFamily(self._name, self._documentation)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Give the state at this moment."""
        bounds = [*map(str, self._bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        yield HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=self._sum)


PICKS: Final = BulkCounter(
    PREFIX + "picks", "Picks answered, by outcome: `plan`, or the reason of a refusal.", ["outcome"]
)
PICK_SECONDS: Final = BulkHistogram(
    PREFIX + "pick_seconds", "Time from a pick's arrival to its decision.", _PICK_BUCKETS
)
LOOP_LAG: Final = BulkHistogram(
    PREFIX + "loop_lag_seconds", "How late the event loop woke a timer: what every pick waits besides.", _LAG_BUCKETS
)
DEFERRED: Final = Gauge(PREFIX + "deferred_picks", "Picks waiting for a freshness proof or a wanted revision.")
SAVED: Final = Counter(PREFIX + "retries_saved", "Picks that catching up turned from a refusal into a plan.")

FELL_BACK: Final = Counter(
    PREFIX + "fallbacks_saved", "Picks that a direct read turned into a plan where the snapshot could not be trusted."
)

REVISION: Final = Gauge(PREFIX + "revision", "The revision in force.")
REVISION_LAG: Final = Gauge(PREFIX + "revision_lag", "Revisions that the head last read is ahead of the one in force.")
CATALOG_UNSOUND: Final = Gauge(
    PREFIX + "catalog_unsound", "1 while the database's head cannot be read or is not the sum of its rows, else 0."
)
SNAPSHOT_AGE: Final = Gauge(PREFIX + "snapshot_age_seconds", "Time since the snapshot was last known to be at head.")
SERVING: Final = Gauge(
    PREFIX + "serving", "1 while lease and snapshot vouch for answers, 0 while degraded or starting."
)
CHANNELS: Final = Gauge(PREFIX + "channels", "Channels held.")
ABILITIES: Final = Gauge(PREFIX + "abilities", "Abilities held.")
QUARANTINED: Final = Gauge(PREFIX + "quarantined_rows", "Rows that cannot be read.")
UNSEALABLE: Final = Counter(PREFIX + "unsealable_keys", "Channel keys found that cannot be unsealed.")
KEYS_IN_DOUBT: Final = Gauge(
    PREFIX + "keys_in_doubt", "Channel keys and proxies of the snapshot in force that cannot be opened here."
)

HEAD_READS: Final = Counter(PREFIX + "head_reads", "Reads of the head row, by result.", ["result"])
HEAD_READ_SECONDS: Final = Histogram(PREFIX + "head_read_seconds", "Time of a head read.", buckets=_READ_BUCKETS)
LOADS: Final = Counter(PREFIX + "loads", "Reads of the catalog: `full`, `delta`, `unchanged`, `failed`.", ["kind"])
LOAD_SECONDS: Final = Histogram(
    PREFIX + "load_seconds", "Time from a load's start to its snapshot in force.", ["kind"], buckets=_READ_BUCKETS
)
SCRUBS: Final = Counter(
    PREFIX + "scrubs",
    "Comparisons of the snapshot with the whole catalog, by result; `different` is alarming.",
    ["result"],
)
DIRECT_READS: Final = Counter(
    PREFIX + "direct_reads", "Reads for picks that the snapshot does not answer, by result.", ["result"]
)
DIRECT_READ_SECONDS: Final = Histogram(
    PREFIX + "direct_read_seconds", "Time of a read for picks that the snapshot does not answer.", buckets=_READ_BUCKETS
)
COPIES: Final = Counter(PREFIX + "disk_copies", "Copies of the catalog written to the disk, by result.", ["result"])
COPY_SECONDS: Final = Histogram(
    PREFIX + "disk_copy_seconds", "Time to write a copy of the catalog to the disk.", buckets=_READ_BUCKETS
)
COPY_REVISION: Final = Gauge(PREFIX + "disk_copy_revision", "Revision of the newest copy on the disk.")
COPIES_DAMAGED: Final = Counter(PREFIX + "disk_copies_damaged", "Copies of the catalog found unfit to start from.")
RENEWALS: Final = Counter(PREFIX + "lease_renewals", "Renewals of the lease, by result.", ["result"])
FOLLOWERS: Final = Gauge(PREFIX + "invalidation_streams", "Open invalidation streams.")

OUTCOMES: Final = BulkCounter(PREFIX + "outcomes", "Attempts reported, by channel and result.", ["channel", "result"])


def measure(snapshot: Snapshot) -> None:
    """Show what is in force."""
    REVISION.set(snapshot.token.revision)
    CHANNELS.set(len(snapshot.channels))
    ABILITIES.set(snapshot.ability_count)
    QUARANTINED.set(len(snapshot.quarantine))
