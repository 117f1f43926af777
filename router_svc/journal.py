"""What is written down of picks: counts by outcome, and why there was no channel.

The law: a plan costs one counter, and the relay logs its request; a refusal for lack of channels is logged with every channel
considered, once a revision for each group and model, so that a storm of them fills no disk.
"""

from typing import Final

from router_svc import metrics
from router_svc.desk import Decided
from router_svc.explain import explain
from router_svc.plan import Ask, Plan
from trunkline.errors import NoChannel
from trunkline.telemetry import DISTRIBUTOR, get_logger

log = get_logger()

_REMEMBERED: Final = 1_000  # (group, model) pairs told at a revision
_SHOWN: Final = 20  # channels that one line names


class Journal:
    """Notes decided picks."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self._revision = -1
        self._told: set[tuple[str, str]] = set()

    def plans(self, count: int) -> None:
        """Note plans."""
        metrics.PICKS.add(count, "plan")

    def note(self, ask: Ask, decided: Decided) -> None:
        """Note one decision."""
        decision = decided.decision
        if isinstance(decision, Plan):
            self.plans(1)
            return
        metrics.PICKS.count(decision.reason)
        if isinstance(decision, NoChannel) and decided.snapshot is not None:
            self._tell(ask, decided, decision)

    def _tell(self, ask: Ask, decided: Decided, refusal: NoChannel) -> None:
        snapshot = decided.snapshot
        if snapshot is None:
            return
        if snapshot.token.revision != self._revision:
            self._revision = snapshot.token.revision
            self._told.clear()
        pair = (refusal.metadata["group"], ask.model)
        if pair in self._told or len(self._told) >= _REMEMBERED:
            return
        self._told.add(pair)
        considered = explain(snapshot, ask, refusal)
        log.warning(
            "%s no available channel",
            DISTRIBUTOR,
            group=pair[0],
            model=ask.model,
            revision=self._revision,
            considered=len(considered),
            out={entry.channel.id: entry.out_reason for entry in considered[:_SHOWN]},
        )
