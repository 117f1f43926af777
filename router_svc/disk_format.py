"""The catalog as bytes for the disk: a heading, then slices of rows as a load reads them, so both ways in are one.

The law: what is written here holds channel keys only sealed and API keys only hashed, and reads back through `rows` and
`draft` into the same snapshot, quarantine included, or not at all. Files, checksums and damage are `disk`'s.
"""

import base64
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final, Literal

import msgspec

from router_svc.draft import BadRow, Draft
from router_svc.rows import Reader, row_of_shaping
from router_svc.snapshot import NO_SHAPING, ApiKey, Channel, Group, Head, Item, Kind, Snapshot, Token

VERSION: Final = 2
"""Of this format; a file of another one is not read."""
SLICE: Final = 50
"""Rows of one slice."""


class Heading(msgspec.Struct, frozen=True):
    """What a copy is of."""

    generation: int
    """Counts the copies written to one directory."""
    confirmed_time: float
    """When the snapshot was last known to be at head, in seconds since the epoch."""
    revision: int
    chain: str
    digest: str
    """Decimal: it outgrows 64 bits."""
    channel_count: int
    api_key_count: int
    group_count: int

    @property
    def head(self) -> Head:
        """The head row that the rows must add up to."""
        token = Token(self.revision, self.chain)
        return Head(token, int(self.digest), self.channel_count, self.api_key_count, self.group_count)


class Slice(msgspec.Struct, frozen=True, array_like=True):
    """Some rows of one kind, or rows in quarantine, which come after their last good versions."""

    kind: Literal["group", "channel", "api_key", "quarantine"]
    rows: list[list[Any]]


_HEADING: Final = msgspec.msgpack.Decoder(Heading)
_SLICE: Final = msgspec.msgpack.Decoder(Slice)


def heading_of(snapshot: Snapshot, generation: int, confirmed_time: float) -> bytes:
    """Write the heading of a copy."""
    token, digest, *counts = snapshot.head
    return msgspec.msgpack.encode(Heading(generation, confirmed_time, *token, str(digest), *counts))


def slices_of(snapshot: Snapshot) -> Iterator[bytes]:
    """Write the rows of a snapshot, slice by slice, in the order in which they are to be read."""
    yield from _slices("group", map(_group_row, snapshot.groups.values()))
    yield from _slices("channel", map(_channel_row, snapshot.channels.values()))
    yield from _slices("api_key", map(_api_key_row, snapshot.api_keys.values()))
    yield from _slices("quarantine", map(list, snapshot.quarantine.values()))


def read_heading(frame: bytes) -> Heading:
    """Read a heading. Raises msgspec.MsgspecError."""
    return _HEADING.decode(frame)


def put_slice(draft: Draft, reader: Reader, frame: bytes) -> None:
    """Put a slice's rows into a draft. Raises msgspec.MsgspecError."""
    part = _SLICE.decode(frame)
    for row in part.rows:
        draft.put(_quarantined(row) if part.kind == "quarantine" else _item(reader, part.kind, row))


def row_of(item: Item) -> list[Any]:
    """Give an item as the row it could have been read from: equal rows are equal items."""
    if isinstance(item, Channel):
        return _channel_row(item)
    return _api_key_row(item) if isinstance(item, ApiKey) else _group_row(item)


def _slices(kind: str, rows: Iterator[list[Any]]) -> Iterator[bytes]:
    while part := list(islice(rows, SLICE)):
        yield msgspec.msgpack.encode((kind, part))


def _item(reader: Reader, kind: Kind, row: list[Any]) -> Item | BadRow:
    """Read a row again; one that an older program found readable and this one does not goes into quarantine alone."""
    return reader.channel(row) if kind == "channel" else reader.api_key(row) if kind == "api_key" else reader.group(row)


def _quarantined(row: list[Any]) -> BadRow:
    # Its last good version, if it has one, was read just before, so which that is need not be told.
    kind, key, revision, content_hash, fault, _, off, groups, models, hashed = row
    return BadRow(
        kind,
        key if kind == "group" else int(key),
        revision,
        content_hash,
        fault,
        off=off,
        groups=None if groups is None else tuple(groups),
        models=None if models is None else tuple(models),
        hash=hashed,
    )


def _group_row(group: Group) -> list[Any]:
    return [group.name, group.revision, group.content_hash]


def _channel_row(channel: Channel) -> list[Any]:
    times = channel.timeouts
    keys = [
        {
            "id": key.id,
            "sealed": base64.b64encode(key.sealed).decode(),
            "last_four": key.last_four,
            "status": key.status,
        }
        for key in channel.keys
    ]
    return [
        channel.id,
        channel.revision,
        channel.content_hash,
        channel.name,
        channel.provider,
        channel.base_url,
        channel.status,
        channel.priority,
        channel.weight,
        msgspec.json.encode(channel.header_overrides),
        channel.parameter_overrides.encode() or b"null",
        times.connect,
        times.first_byte,
        times.idle,
        times.total,
        msgspec.json.encode(keys),
        msgspec.json.encode([(model, channel.upstreams.get(model)) for model in channel.models]),
        list(channel.groups),
        msgspec.json.encode(channel.overrides),
        None if channel.shaping is NO_SHAPING else msgspec.json.encode(row_of_shaping(channel.shaping)),
    ]


def _api_key_row(api_key: ApiKey) -> list[Any]:
    return [
        api_key.id,
        api_key.revision,
        api_key.content_hash,
        api_key.hash,
        api_key.status,
        api_key.groups[0],
        list(api_key.groups[1:]),
        list(api_key.models),
        _texts(api_key.networks),
        api_key.expire_time,
    ]


def _texts(values: Iterable[object]) -> list[str]:
    return [str(value) for value in values]
