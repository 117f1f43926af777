"""What a channel may say of its provider, prompt, statuses and proxy.

The law: a proxy's credentials are taken off here, once: what goes on is a `Proxy`, whose URL is whole only within its secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from admin_svc.records import PROMPT_DEFAULT, PROMPT_PREPEND, Channel
from admin_svc.rules.faults import HOST, PLAIN_URL, Faults, at
from trunkline import providers
from trunkline.secret import Secret

PROMPT_MODES = (PROMPT_DEFAULT, PROMPT_PREPEND)
PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_MOST_OPTIONS = 32
_LONGEST_OPTION_NAME = 64
_LONGEST_OPTION = 1_024
_LONGEST_PROMPT = 32_768
_MOST_STATUSES = 200
_LOWEST_STATUS = 400
_HIGHEST_STATUS = 599
_LONGEST_PROXY = 2_048


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy as it may be shown, and as it is used."""

    shown: str
    secret: Secret = field(repr=False)


def check_shaping(channel: Channel, faults: Faults) -> None:
    """Check all of a channel's shaping but its proxy, whose secret no record holds."""
    _check_options(channel.provider, channel.provider_options, faults)
    faults.text("system_prompt", channel.system_prompt, _LONGEST_PROMPT, required=False, lines=True)
    faults.among("system_prompt_mode", channel.system_prompt_mode, PROMPT_MODES)
    _check_statuses(channel.status_mapping, faults)


def admit_proxy(written: Secret, faults: Faults) -> Proxy | None:
    """Check a proxy's URL, if there is one; no description shows any of it. None also for one at fault."""
    url = written.reveal().strip()
    if not url:
        return None
    fault = _proxy_fault(url)
    if fault:
        faults.note("proxy_url", fault)
        return None
    parts = urlsplit(url)
    place = f"{parts.scheme}://{_host_of(parts)}" + (f":{parts.port}" if parts.port is not None else "")
    credentials, at_sign, _ = parts.netloc.rpartition("@")
    return Proxy(place, Secret(place.replace("://", f"://{credentials}{at_sign}", 1)))


def _proxy_fault(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = _host_of(parts), parts.port
    except ValueError:
        return "is not a URL"
    faults = {
        f"must be at most {_LONGEST_PROXY:,} characters long": len(url) > _LONGEST_PROXY,
        "must be in ASCII, without spaces: encode other characters": not PLAIN_URL.fullmatch(url) or "\\" in url,
        f"must begin with {', '.join(f'{scheme}://' for scheme in PROXY_SCHEMES)}": parts.scheme not in PROXY_SCHEMES,
        "must name a host, and its port": not HOST.fullmatch(host) or port == 0,
        "must end with its host and port": parts.path not in ("", "/") or bool(parts.query or parts.fragment),
    }
    return next((why for why, wrong in faults.items() if wrong), "")


def _host_of(parts: SplitResult) -> str:
    host = parts.hostname or ""
    return f"[{host}]" if ":" in host else host


def _check_options(provider: str, options: Mapping[str, str], faults: Faults) -> None:
    if not faults.at_most("provider_options", options, _MOST_OPTIONS):
        return
    at_fault = set()
    for name, value in options.items():
        path = at("provider_options", name)
        if not faults.text(path, name, _LONGEST_OPTION_NAME) or not faults.text(path, value, _LONGEST_OPTION):
            at_fault.add(name)
    for name, why in providers.option_faults(provider, options):
        if name not in at_fault:
            faults.note(at("provider_options", name), why)


def _check_statuses(statuses: Mapping[int, int], faults: Faults) -> None:
    if faults.at_most("status_mapping", statuses, _MOST_STATUSES):
        for status, shown in statuses.items():
            if not all(_LOWEST_STATUS <= number <= _HIGHEST_STATUS for number in (status, shown)):
                faults.note(
                    f"status_mapping[{status}]", f"must map {_LOWEST_STATUS}–{_HIGHEST_STATUS} to the same range"
                )
