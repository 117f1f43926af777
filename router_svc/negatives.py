"""Sees cheaply what will be refused, and remembers refusals that one snapshot made, so that a storm of them costs little.

The law: remembered is only what depends on nothing but the snapshot, the caller and the model; whether it may be said depends
on a proof as ever. Another snapshot forgets everything; a full memory forgets the oldest for each that comes, since letting
go of thousands at once would hold up plans.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeVar
from weakref import ref

from router_svc.picker import find
from router_svc.plan import Ask, Decision, OpenKey, caller_of
from router_svc.refusing import refusal
from router_svc.snapshot import Snapshot
from trunkline.errors import ApiKeyUnknown, ModelNotInGroup, ModelUnknown, NoChannel, Refused

MOST: Final = 1_024
"""Refusals remembered at most: those who ask for what nobody serves ask for the same again, or for ever new names."""

R = TypeVar("R", bound=Refused)


class Negatives:
    """The refusals of the snapshot last asked."""

    def __init__(self) -> None:
        """Begin with none."""
        self._of: Callable[[], Snapshot | None] = lambda: None
        """The snapshot last asked, weakly: one that was replaced must not be kept from going."""
        self._known: OrderedDict[tuple[bytes | None, str, str], Refused] = OrderedDict()

    def decide(self, snapshot: Snapshot, ask: Ask, now: float, open_key: OpenKey) -> Decision:
        """Decide as the picker does."""
        return self.quickly(snapshot, ask, now, open_key) or self.refuse(snapshot, ask, now)

    def quickly(self, snapshot: Snapshot, ask: Ask, now: float, open_key: OpenKey) -> Decision | None:
        """Give a plan, or the refusal that is remembered; None when there is no plan and why is yet to be told."""
        if self._known:
            if self._of() is not snapshot:
                self._known.clear()
            elif (known := self._known.get((ask.key_hash, ask.group, ask.model))) is not None:
                return known
        return find(snapshot, ask, now, open_key)

    def refuse(self, snapshot: Snapshot, ask: Ask, now: float) -> Refused:
        """Tell why there is no plan, and remember it if it lasts."""
        refused = refusal(snapshot, ask, now)
        if _lasts(snapshot, ask, refused):
            if self._of() is not snapshot:
                self._of = ref(snapshot)
                self._known.clear()
            if len(self._known) >= MOST:
                self._known.popitem(last=False)
            self._known[ask.key_hash, ask.group, ask.model] = refused
        return refused


def hopeless(snapshot: Snapshot, ask: Ask) -> bool:
    """Tell at the cost of a look-up that no route of this caller leads to the model, whatever else may be against it."""
    groups: tuple[str, ...] = (ask.group,)
    if ask.key_hash is not None:
        api_key = caller_of(snapshot, ask)
        if api_key is None:
            return True
        groups = api_key.groups
    for group in groups:
        routes = snapshot.routes.get(group)
        if routes is not None and (
            routes.exact.get(ask.model) is not None or (routes.lengths and next(routes.of(ask.model), None) is not None)
        ):
            return False
    return True


def again(refusal: R) -> R:
    """Give an equal refusal to raise: raising keeps frames alive, and one that is remembered would keep them long."""
    copy = type(refusal).__new__(type(refusal))
    copy.args = refusal.args
    copy.__dict__.update(refusal.__dict__)
    return copy


def _lasts(snapshot: Snapshot, ask: Ask, refusal: Refused) -> bool:
    """Tell whether time, address and exclusions had no part in a refusal."""
    if isinstance(refusal, ApiKeyUnknown):
        return True
    if ask.key_hash is not None:
        api_key = caller_of(snapshot, ask)
        if api_key is None or not api_key.plain:
            return False
    return isinstance(refusal, (ModelUnknown, ModelNotInGroup)) or (
        isinstance(refusal, NoChannel) and not ask.excluded and not ask.required
    )
