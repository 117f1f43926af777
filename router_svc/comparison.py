"""Holds a snapshot against the rows of its own state read once more: content, quarantine, look-ups and routes.

The law: it believes nothing that was derived. Whatever was lost or altered in memory, or missed by deltas, is a difference;
differences name rows and never show content.
"""

from collections import Counter

from router_svc.disk_format import row_of
from router_svc.draft import BadRow, key_of, kind_of
from router_svc.snapshot import ApiKey, Channel, Item, Kind, Snapshot

_NAMED = 20  # differences that are named


class Comparison:
    """One comparison, row by row."""

    def __init__(self, held: Snapshot) -> None:
        """Take what is to be held against the rows."""
        self._held = held
        self._seen: Counter[Kind] = Counter()
        self.differences: list[str] = []

    def look(self, row: Item | BadRow) -> None:
        """Look at one row."""
        kind, key = (row.kind, row.id) if isinstance(row, BadRow) else (kind_of(row), key_of(row))
        self._seen[kind] += 1
        bad = self._held.quarantine.get((kind, str(key)))
        if isinstance(row, BadRow):
            same = bad is not None and (bad.revision, bad.content_hash) == (row.revision, row.content_hash)
        else:
            same = bad is None and self._is_held(row)
        if not same and len(self.differences) < _NAMED:
            self.differences.append(f"{kind} {key}")

    def end(self) -> list[str]:
        """Give the differences, once every row was looked at."""
        kinds: tuple[Kind, ...] = ("channel", "api_key", "group")
        counted = [kind for kind in kinds if self._held.rows(kind) != self._seen[kind]]
        return self.differences + [f"the number of {kind} rows" for kind in counted]

    def _is_held(self, row: Item) -> bool:
        held = self._held
        if isinstance(row, Channel):
            mine = held.channels.get(row.id)
            return mine is not None and row_of(mine) == row_of(row) and self._stands(row)
        if isinstance(row, ApiKey):
            found = held.api_keys_by_hash.get(row.hash)
            return found is not None and found is held.api_keys.get(row.id) and row_of(found) == row_of(row)
        group = held.groups.get(row.name)
        return group is not None and row_of(group) == row_of(row)

    def _stands(self, channel: Channel) -> bool:
        """Tell whether each route holds a channel as it should."""
        for (group, model), place in channel.placements().items():
            routes = self._held.routes.get(group)
            route = routes.named(model) if routes is not None else None
            if route is None:
                return False
            if place.out_reason:
                members = route.out
            else:
                tier = next((tier for tier in route.tiers if tier.priority == place.priority), None)
                if tier is None:
                    return False
                members = tier.weighted if place.weight else tier.weightless
            share = members.share_of(channel.id)
            if share is None or share[1] != (place.weight or 1):
                return False
        return True
