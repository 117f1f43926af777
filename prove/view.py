"""The catalog as those who change it last saw it, and one change of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prove.truth import Ask
from trunkline.v1 import router_pb2

Ways = Sequence[tuple[Ask, router_pb2.Pick]]


@dataclass(frozen=True, slots=True)
class ChannelView:
    """A channel as last seen."""

    id: int
    status: str
    models: tuple[str, ...]
    groups: tuple[str, ...]
    keys: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class KeyView:
    """An API key as last seen."""

    id: int
    hash: str
    status: str


@dataclass(frozen=True, slots=True)
class View:
    """The catalog as last seen; a change may meet another."""

    channels: Sequence[ChannelView] = ()
    api_keys: Sequence[KeyView] = ()
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Step:
    """One change to make: by a method of AdminService, or by hand."""

    method: str
    """Empty for one made by hand."""
    request: Any = None
    sql: str = ""
    values: tuple[Any, ...] = ()
    pairs: Sequence[tuple[str, str]] = ()
    """The (group, model) pairs that it is about."""
    key_hashes: Sequence[str] = ()
    """The API keys that it is about."""
