"""The mass-change rule: what would switch off most of the catalog at once is asked for by name, or refused.

A channel counts as *effective* while it has an effective ability, and as *dropped* by a change when it was effective before
and is not after. The rule looks at catalogs of ten effective channels or more: in a smaller one a person sees what goes.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from trunkline.errors import MassChangeRefused

SMALLEST_CATALOG = 10
"""Effective channels below which the rule does not look."""


def admit_mass_change(before: AbstractSet[int], after: AbstractSet[int], *, allowed: bool) -> None:
    """Take the ids of effective channels before and after. Raises MassChangeRefused unless it is allowed."""
    dropped = len(before - after)
    if not allowed and len(before) >= SMALLEST_CATALOG and 2 * dropped > len(before):
        raise MassChangeRefused(dropped=dropped, total=len(before))
