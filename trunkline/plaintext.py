"""Whether an address may be listened at, or dialled, without TLS. Pure.

Law: every listener and every dial of every service asks this one rule. Bearer tokens, clients' keys and channel keys travel
on them, so plaintext stays within the machine unless it was asked for by name.
"""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host; a name other than `localhost` may be anybody's."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def plaintext_fault(address: object, *, loopback: bool, secured: bool, allowed: bool) -> str | None:
    """What is wrong with speaking at an address: nothing on loopback, under TLS, or when plaintext is allowed."""
    if loopback or secured or allowed:
        return None
    return f"{address} is not loopback: set TLS, or TRUNKLINE_ALLOW_PLAINTEXT=true"
