"""What a group and an ability override must be."""

from __future__ import annotations

from dataclasses import replace

from admin_svc.records import Group, Override
from admin_svc.rules.faults import HIGHEST_PRIORITY, HIGHEST_WEIGHT, LONGEST_GROUP, Faults

_RESERVED = frozenset("/,*")
"""What a name could not hold in a URL's path, in a list, or in an allow-list."""


def admit_group(draft: Group, faults: Faults) -> Group:
    """Check a group to create."""
    group = replace(draft, name=draft.name.strip(), remark=draft.remark.strip())
    if faults.text("name", group.name, LONGEST_GROUP):
        if _RESERVED & set(group.name):
            faults.note("name", "must not hold `/`, `,` or `*`")
        elif group.name in (".", ".."):
            faults.note("name", "cannot be addressed in a URL")
    faults.remark(group.remark)
    return group


def admit_override(draft: Override, faults: Faults) -> Override:
    """Check an override to set."""
    faults.between("priority", draft.priority, -HIGHEST_PRIORITY, HIGHEST_PRIORITY)
    faults.between("weight", draft.weight, 0, HIGHEST_WEIGHT)
    if draft.enabled is None and draft.priority is None and draft.weight is None:
        faults.note("enabled", "give one of `enabled`, `priority` and `weight`, or delete the override")
    return draft
