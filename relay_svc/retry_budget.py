"""How many retries may be wasted: after failures of each channel and model, for each caller, and over all.

    of the channel and model that failed   wasted ≤ 1/5 · its failures + 20
    of the caller                          wasted ≤ 1/2 · failures that it met + 200
    of the relay, far above                wasted ≤ 1/2 · requests + 10,000,    each counted over a sliding window

Law: pure; the clock is an argument, and nobody's failure is another's. A retry is charged to what failed before it: one dead
model takes nothing from others. A caller who asks for ever new models that no channel has meets a bound of its own before it
can come near the relay's. A retry that led to a response was no waste, whoever failed before it: with the first two channels
of three dead, every request rightly goes on to the third. Only when requests fail in spite of their retries is something
wrong that retries do not mend, and then they would only add to it.

Memory is bounded: what failed least recently is forgotten first, and has its whole budget again.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from enum import StrEnum
from typing import Final, Generic, TypeVar

MOST_KEPT: Final = 4096
"""Channels with a model, and callers, whose budgets are kept."""
_SLICES: Final = 10
"""Slices of the window: it slides by a tenth of itself."""

FailedPair = tuple[int, str]
"""A channel's id, and the model as its upstream knows it."""
K = TypeVar("K", bound=Hashable)


class Cut(StrEnum):
    """Whose budget is spent."""

    NOBODYS = ""
    MODEL = "channel_and_model"
    CALLER = "caller"
    RELAY = "relay"


class RetryBudget:
    """Counts one party's requests (or failures) and its wasted retries."""

    __slots__ = ("_floor", "_newest", "_requests", "_share", "_slice", "_wasted")

    def __init__(self, *, share: float = 0.2, window: float = 10.0, floor: int = 20) -> None:
        """Take the share of requests, the window in seconds, and the waste that is always allowed in a window."""
        if not (0 <= share <= 1 and window > 0 and floor >= 0):
            raise ValueError("a share between 0 and 1, a window and a floor are needed")
        self._share, self._floor = share, floor
        self._slice = window / _SLICES
        self._newest = 0
        self._requests = [0] * _SLICES
        self._wasted = [0] * _SLICES

    def request(self, now: float) -> None:
        """Count a request; `now` is in seconds by a clock that never goes back."""
        self._requests[self._at(now)] += 1

    def allows(self, now: float) -> bool:
        """Whether another retry may be made."""
        self._at(now)
        return sum(self._wasted) <= self._share * sum(self._requests) + self._floor

    def failed(self, now: float, retries: int) -> None:
        """Count the retries of a request that nobody served."""
        self._wasted[self._at(now)] += retries

    def _at(self, now: float) -> int:
        """Let go of what is older than the window; give the place of the present."""
        newest = int(now / self._slice)
        if newest <= self._newest:
            return self._newest % _SLICES
        for old in range(max(self._newest + 1, newest - _SLICES + 1), newest + 1):
            self._requests[old % _SLICES] = self._wasted[old % _SLICES] = 0
        self._newest = newest
        return newest % _SLICES


class _Budgets(Generic[K]):
    """The budgets of one kind of party; who failed least recently is forgotten first."""

    def __init__(self, share: float, floor: int, most: int) -> None:
        self._share, self._floor, self._most = share, floor, most
        self._kept: OrderedDict[K, RetryBudget] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, party: K) -> RetryBudget:
        """Return a party's budget."""
        budget = self._kept.get(party)
        if budget is None:
            if len(self._kept) >= self._most:
                self._kept.popitem(last=False)
            budget = self._kept[party] = RetryBudget(share=self._share, floor=self._floor)
        else:
            self._kept.move_to_end(party)
        return budget


class RetryBudgets:
    """All budgets of a relay. A caller is an API key's id."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        """Begin with nothing spent; at most `most` budgets of each kind are kept."""
        self._relay = RetryBudget(share=0.5, floor=10_000)
        self._pairs: _Budgets[FailedPair] = _Budgets(0.2, 20, most)
        self._callers: _Budgets[int] = _Budgets(0.5, 200, most)
        self.request = self._relay.request
        """Counts a request: all that one costs which never fails."""

    def __len__(self) -> int:
        """How many budgets are kept."""
        return len(self._pairs) + len(self._callers)

    def cut(self, now: float, failed: FailedPair | None, caller: int) -> Cut:
        """Count a failed attempt, and tell whose budget forbids another; `failed` is None where the caller is to blame."""
        callers = self._callers.of(caller)
        callers.request(now)
        if failed is not None:
            pairs = self._pairs.of(failed)
            pairs.request(now)
            if not pairs.allows(now):
                return Cut.MODEL
        if not callers.allows(now):
            return Cut.CALLER
        return Cut.NOBODYS if self._relay.allows(now) else Cut.RELAY

    def waste(self, now: float, retried: Iterable[FailedPair | None], caller: int) -> None:
        """Charge the retries of a request that nobody served, each to what failed before it."""
        for failed in retried:
            self._relay.failed(now, 1)
            self._callers.of(caller).failed(now, 1)
            if failed is not None:
                self._pairs.of(failed).failed(now, 1)
