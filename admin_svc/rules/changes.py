"""What a masked change makes of a resource: the fields named take their new values, and what depends on them follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from admin_svc.records import ENABLED, Channel, ChannelKey


def changed_channel(current: Channel, values: Mapping[str, Any]) -> Channel:
    """Change the fields named; `timeouts` gives those limits that change, by their field's name.

    Models that leave take their mapping with them, unless the mapping is given too: it would be a fault of a field that the
    caller did not touch. A channel switched on loses the reason for which it was off.
    """
    values = dict(values)
    if "timeouts" in values:
        values["timeouts"] = replace(current.timeouts, **values["timeouts"])
    if "models" in values and "model_mapping" not in values:
        kept = {model.strip() for model in values["models"]}
        values["model_mapping"] = {
            model: upstream for model, upstream in current.model_mapping.items() if model in kept
        }
    return replace(current, **_with_reason(values))


def sends_keys_elsewhere(current: Channel, channel: Channel, *, new_proxy: bool) -> bool:
    """Whether a change would have a channel's keys go where they did not go before, to somebody who may read them."""
    return new_proxy or _destination(channel) != _destination(current)


def _destination(channel: Channel) -> tuple[str, str, list[str]]:
    """Who is sent the keys: a `Host` of one's own makes another of many behind one address, a provider another header."""
    hosts = [value for name, value in channel.header_overrides.items() if name.lower() == "host"]
    return channel.provider, channel.base_url, hosts


def judged_with(values: Mapping[str, Any]) -> frozenset[str]:
    """Name the fields of a channel whose faults count: those that change, and those that a new provider judges anew."""
    named = frozenset(values)
    return named | {"provider_options"} if "provider" in named else named


def changed_channel_key(current: ChannelKey, values: Mapping[str, Any]) -> ChannelKey:
    """Change the fields named."""
    return replace(current, **_with_reason(dict(values)))


def _with_reason(values: dict[str, Any]) -> dict[str, Any]:
    if values.get("status") == ENABLED and "status_reason" not in values:
        values["status_reason"] = ""
    return values
