"""What an API key must be."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from ipaddress import ip_interface

from admin_svc.records import DISABLED, ENABLED, ApiKey
from admin_svc.rules.faults import LONGEST_NAME, Faults, once, trimmed

_MOST_FALLBACKS = 32
_MOST_MODELS = 1_000
_MOST_NETWORKS = 256
_LONGEST_NETWORK = 64


def admit_api_key(draft: ApiKey, groups: Collection[str], faults: Faults) -> ApiKey:
    """Check an API key against the groups that exist."""
    key = _trimmed(draft)
    faults.text("name", key.name, LONGEST_NAME)
    faults.among("status", key.status, (ENABLED, DISABLED))
    faults.remark(key.remark)
    _check_groups(key, groups, faults)
    if faults.at_most("model_allow_list", key.model_allow_list, _MOST_MODELS):
        for position, model in enumerate(key.model_allow_list):
            faults.model(f"model_allow_list[{position}]", model)
    networks = _networks(key.address_allow_list, faults)
    return replace(
        key,
        fallback_groups=once(key.fallback_groups),
        model_allow_list=once(key.model_allow_list),
        address_allow_list=once(networks),
    )


def _trimmed(draft: ApiKey) -> ApiKey:
    return replace(
        draft,
        name=draft.name.strip(),
        group=draft.group.strip(),
        remark=draft.remark.strip(),
        fallback_groups=trimmed(draft.fallback_groups),
        model_allow_list=trimmed(draft.model_allow_list),
        address_allow_list=trimmed(draft.address_allow_list),
    )


def _check_groups(key: ApiKey, known: Collection[str], faults: Faults) -> None:
    faults.group("group", key.group, known)
    if not faults.at_most("fallback_groups", key.fallback_groups, _MOST_FALLBACKS):
        return
    for position, group in enumerate(key.fallback_groups):
        field = f"fallback_groups[{position}]"
        faults.group(field, group, known)
        if group and group == key.group:
            faults.note(field, "is the key's own group, which is tried first anyway")


def _networks(written: Sequence[str], faults: Faults) -> tuple[str, ...]:
    """Write each network as Postgres does; a lone address is a network of one."""
    if not faults.at_most("address_allow_list", written, _MOST_NETWORKS):
        return ()
    networks = []
    for position, text in enumerate(written):
        field = f"address_allow_list[{position}]"
        if not faults.text(field, text, _LONGEST_NETWORK):
            continue
        try:
            address = ip_interface(text)
        except ValueError:
            faults.note(field, "is not an address or a network such as 10.0.0.0/8 or 2001:db8::/32")
            continue
        if "%" in text:
            faults.note(field, "must not have a zone")
        elif address.ip != address.network.network_address:
            faults.note(field, f"has bits set beyond its mask: the network is {address.network}")
        else:
            networks.append(str(address.network))
    return tuple(networks)
