"""Tells whether a row that was read again is what is held already, so that a full load keeps that instead of a twin of it.

The law: all content counts, what was derived from it too, and nothing is believed for its number or hash; what is remembered
of sealed things once they were opened is no content.
"""

from operator import attrgetter
from typing import Any

import msgspec

from router_svc.snapshot import Channel, ChannelKey, Item, Shaping

_BY_PARTS = ("keys", "usable", "sole", "shaping")
_plain = attrgetter(*(name for name in Channel.__struct_fields__ if name not in _BY_PARTS))


def same(held: Item, read: Item) -> bool:
    """Tell whether an item that is held equals one that was read."""
    if type(held) is not type(read) or held.revision != read.revision:
        return False
    if isinstance(held, Channel) and isinstance(read, Channel):
        return _same_channel(held, read)
    return msgspec.structs.astuple(held) == msgspec.structs.astuple(read)


def _same_channel(held: Channel, read: Channel) -> bool:
    return (
        _plain(held) == _plain(read)
        and _sealed(held.keys) == _sealed(read.keys)
        and _sealed(held.usable) == _sealed(read.usable)
        and all(key in held.keys for key in held.usable)
        and (held.sole is None) == (read.sole is None)
        and held.sole in (None, *held.usable)
        and (held.shaping is read.shaping or _content(held.shaping) == _content(read.shaping))
    )


def _sealed(keys: tuple[ChannelKey, ...]) -> list[tuple[Any, ...]]:
    return [(key.id, key.sealed, key.last_four, key.status) for key in keys]


def _content(shaping: Shaping) -> dict[str, Any]:
    content: dict[str, Any] = msgspec.structs.asdict(shaping)
    return content | {"proxy": None if shaping.proxy is None else shaping.proxy.sealed}
