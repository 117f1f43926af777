"""What a channel and its keys must be."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

from admin_svc.records import AUTO_DISABLED, DISABLED, ENABLED, Channel, ChannelKey
from admin_svc.rules.faults import (
    HIGHEST_PRIORITY,
    HIGHEST_WEIGHT,
    HOST,
    LONGEST_MODEL,
    LONGEST_NAME,
    LONGEST_REASON,
    PLAIN_URL,
    Faults,
    at,
    once,
    trimmed,
)
from admin_svc.rules.overrides import check_headers, check_parameters, check_removed
from admin_svc.rules.shaping import check_shaping
from trunkline.providers import provider_named
from trunkline.secret import Secret

STATUSES = (ENABLED, DISABLED, AUTO_DISABLED)
_LONGEST_PROVIDER = 64
_LONGEST_URL = 2_048
_LONGEST_TAG = 64
_LONGEST_SECRET = 16_384
"""A service account's JSON, written on one line, has some 2,400 characters."""
_MOST_MODELS = 2_000
_MOST_GROUPS = 256
_MOST_TAGS = 32
_MOST_SECRETS = 1_000
_LONGEST_TIMEOUT_MS = 24 * 3_600 * 1_000
_TIMEOUTS = ("connect", "first_byte", "idle", "total")

_PROVIDER = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def admit_channel(draft: Channel, groups: Collection[str], faults: Faults) -> Channel:
    """Check a channel against the groups that exist."""
    channel = _trimmed(draft)
    faults.text("name", channel.name, LONGEST_NAME)
    _check_provider(channel.provider, faults)
    url = _check_url(channel.base_url, faults)
    faults.among("status", channel.status, STATUSES)
    faults.text("status_reason", channel.status_reason, LONGEST_REASON, required=False, lines=True)
    _check_models(channel, faults)
    if faults.at_most("groups", channel.groups, _MOST_GROUPS):
        for position, group in enumerate(channel.groups):
            faults.group(f"groups[{position}]", group, groups)
    faults.between("priority", channel.priority, -HIGHEST_PRIORITY, HIGHEST_PRIORITY)
    faults.between("weight", channel.weight, 0, HIGHEST_WEIGHT)
    if faults.at_most("tags", channel.tags, _MOST_TAGS):
        for position, tag in enumerate(channel.tags):
            faults.text(f"tags[{position}]", tag, _LONGEST_TAG)
    check_headers(channel.header_overrides, faults)
    check_removed(channel.removed_headers, faults)
    check_parameters(channel.parameter_overrides, faults)
    check_shaping(channel, faults)
    for name in _TIMEOUTS:
        faults.between(f"timeouts.{name}", getattr(channel.timeouts, f"{name}_ms"), 1, _LONGEST_TIMEOUT_MS)
    faults.remark(channel.remark)
    return replace(
        channel,
        base_url=url,
        models=once(channel.models),
        groups=once(channel.groups),
        tags=once(channel.tags),
        removed_headers=once(channel.removed_headers),
    )


def admit_channel_key(draft: ChannelKey, faults: Faults) -> ChannelKey:
    """Check a channel key's status and remark."""
    key = replace(draft, status_reason=draft.status_reason.strip(), remark=draft.remark.strip())
    faults.among("status", key.status, STATUSES)
    faults.text("status_reason", key.status_reason, LONGEST_REASON, required=False, lines=True)
    faults.remark(key.remark)
    return key


def admit_secrets(written: Sequence[Secret], faults: Faults, field: str = "keys") -> tuple[Secret, ...]:
    """Check the secrets of channel keys; no description shows any of them."""
    secrets = tuple(Secret(secret.reveal().strip()) for secret in written)
    if faults.at_most(field, secrets, _MOST_SECRETS):
        for position, secret in enumerate(secrets):
            path = f"{field}[{position}]"
            if faults.text(path, secret.reveal(), _LONGEST_SECRET) and not secret.reveal().isascii():
                faults.note(path, "holds a character that a header cannot carry")
    return tuple(dict.fromkeys(secrets))


def _trimmed(draft: Channel) -> Channel:
    provider = re.sub(r"[\s_]+", "-", draft.provider.strip().lower())
    return replace(
        draft,
        name=draft.name.strip(),
        provider=provider,
        base_url=draft.base_url.strip() or provider_named(provider).base_url,
        status_reason=draft.status_reason.strip(),
        models=trimmed(draft.models),
        model_mapping={model.strip(): upstream.strip() for model, upstream in draft.model_mapping.items()},
        groups=trimmed(draft.groups),
        tags=trimmed(draft.tags),
        header_overrides={name.strip(): value.strip() for name, value in draft.header_overrides.items()},
        removed_headers=tuple(name.strip().lower() for name in draft.removed_headers),
        provider_options={name.strip(): value.strip() for name, value in draft.provider_options.items()},
        remark=draft.remark.strip(),
    )


def _check_provider(provider: str, faults: Faults) -> None:
    if faults.text("provider", provider, _LONGEST_PROVIDER) and not _PROVIDER.fullmatch(provider):
        faults.note("provider", "must be in kebab case, such as `openai-compatible`")


def _check_url(url: str, faults: Faults) -> str:
    """Check where an upstream's API begins; answers it in one spelling, without a trailing slash."""
    if not faults.text("base_url", url, _LONGEST_URL):
        return url
    try:
        parts = urlsplit(url)
        host, has_port = parts.netloc.lower(), parts.port is not None
    except ValueError:
        faults.note("base_url", "is not a URL")
        return url
    if parts.scheme not in ("http", "https"):
        faults.note("base_url", "must begin with http:// or https://")
    elif "@" in host:
        faults.note("base_url", "must not hold a user or a password: a credential belongs in the channel's keys")
    elif not HOST.fullmatch(host.rsplit(":", 1)[0] if has_port else host.removesuffix(":")):
        faults.note("base_url", "must name a host, in ASCII")
    elif not PLAIN_URL.fullmatch(url) or "\\" in url:
        faults.note("base_url", "must be in ASCII, without spaces: encode other characters")
    elif "?" in url or "#" in url:
        faults.note("base_url", "must not have a query or a fragment: requests append their own path")
    return urlunsplit((parts.scheme, host.removesuffix(":"), parts.path.rstrip("/"), "", ""))


def _check_models(channel: Channel, faults: Faults) -> None:
    if faults.at_most("models", channel.models, _MOST_MODELS):
        for position, model in enumerate(channel.models):
            faults.model(f"models[{position}]", model)
    if not faults.at_most("model_mapping", channel.model_mapping, _MOST_MODELS):
        return
    declared = frozenset(channel.models)
    for model, upstream in channel.model_mapping.items():
        field = at("model_mapping", model)
        if model not in declared:
            faults.note(field, "is not among `models`")
        if faults.text(field, upstream, LONGEST_MODEL):
            if "*" in upstream[:-1]:
                faults.note(field, "may hold `*` only as its last character")
            elif upstream.endswith("*") and not model.endswith("*"):
                faults.note(field, "may end in `*` only for a model that does: it takes what the wildcard matched")
