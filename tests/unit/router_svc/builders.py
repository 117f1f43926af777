"""Small catalogs for tests of the router's pure parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from router_svc.draft import BadRow, Draft
from router_svc.picker import decide
from router_svc.plan import Ask, Plan
from router_svc.snapshot import (
    ApiKey,
    Channel,
    ChannelKey,
    Group,
    Head,
    Item,
    Override,
    Seal,
    Snapshot,
    Timeouts,
    Token,
)

NOW = 1_000_000.0  # seconds since the epoch
SECRET_HASH = b"h" * 32


def key(key_id: int, status: str = "ENABLED", *, broken: bool = False) -> ChannelKey:
    """A channel key; a broken one cannot be opened."""
    return ChannelKey(key_id, b"sealed", "last", status, Seal.BROKEN if broken else Seal.UNTRIED)


def channel(
    channel_id: int,
    models: Iterable[str] | Mapping[str, str | None] = ("m",),
    groups: Iterable[str] = ("default",),
    *,
    keys: Iterable[ChannelKey] | None = None,
    overrides: Iterable[tuple[str, str, bool | None, int | None, int | None]] = (),
    **columns: Any,
) -> Channel:
    """A channel; models may map to upstream names."""
    named = dict(models) if isinstance(models, Mapping) else dict.fromkeys(models)
    keys = (key(channel_id * 10),) if keys is None else tuple(keys)
    usable = tuple(key for key in keys if key.status == "ENABLED")
    values: dict[str, Any] = {
        "revision": 1, "content_hash": channel_id * 1000 + 1, "name": f"channel {channel_id}", "provider": "openai",
        "base_url": "http://127.0.0.1:9", "status": "ENABLED", "priority": 0, "weight": 1, "header_overrides": {},
        "parameter_overrides": "", "timeouts": Timeouts(),
    }  # fmt: skip
    return Channel(
        id=channel_id,
        keys=keys,
        usable=usable,
        sole=usable[0] if len(usable) == 1 else None,
        models=tuple(named),
        upstreams={model: name for model, name in named.items() if name is not None},
        groups=tuple(groups),
        overrides=tuple(Override(*override) for override in overrides),
        **(values | columns),
    )


def api_key(api_key_id: int = 1, groups: Iterable[str] = ("default",), **columns: Any) -> ApiKey:
    """An API key whose secret hashes to SECRET_HASH."""
    values: dict[str, Any] = {
        "revision": 1, "content_hash": -api_key_id, "hash": SECRET_HASH, "status": "ENABLED", "models": (),
        "networks": (), "expire_time": None,
    }  # fmt: skip
    values |= columns
    plain = values["status"] == "ENABLED" and not any((values["models"], values["networks"], values["expire_time"]))
    return ApiKey(id=api_key_id, groups=tuple(groups), plain=plain, **values)


def head_of(rows: Iterable[Item | BadRow], revision: int = 1) -> Head:
    """The head row of a catalog of these rows."""
    rows = list(rows)
    kinds = ["channel", "api_key", "group"]
    types = {Channel: "channel", ApiKey: "api_key", Group: "group"}
    of_kind = [row.kind if isinstance(row, BadRow) else types[type(row)] for row in rows]
    counts = [of_kind.count(kind) for kind in kinds]
    return Head(Token(revision, f"{revision:064x}"), sum(row.content_hash for row in rows), *counts)


def snapshot(*rows: Item | BadRow, revision: int = 1, last_good: Snapshot | None = None) -> Snapshot:
    """A full load of these rows."""
    head = head_of(rows, revision)
    draft = Draft.from_nothing(head, last_good)
    for row in rows:
        draft.put(row)
    return draft.done(head)


def open_any(channel: Channel, key: ChannelKey | None) -> bool:
    """Open every key and proxy that is not broken."""
    return not any(sealed is not None and sealed.opened is Seal.BROKEN for sealed in (key, channel.shaping.proxy))


def plan_of(held: Snapshot, model: str = "m", group: str = "default", **ask: Any) -> Plan:
    """Pick for a group, expecting a plan."""
    decision = decide(held, Ask(model, group=group, **ask), NOW, open_any)
    assert isinstance(decision, Plan), decision
    return decision


def ids_of(plan: Plan) -> list[int]:
    """The channels of a plan, in order."""
    return [candidate.channel.id for candidate in plan.candidates]
