"""An immutable map cut into shards, so that a new version copies the shards it touches and shares the rest.

The law: a `Shards` never changes; an `Edit` makes the next one. A change of one entry copies about the square root of all
entries, whatever their number, and a look-up costs one index more than a dict's.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

_SMALL = 64  # entries that one shard holds before cutting is worth its index
_OVERGROWN = 16  # times as many entries as the cut was made for, before it is made anew


class Shards(Generic[K, V]):
    """An immutable map; build it with `Edit`."""

    __slots__ = ("_count", "mask", "parts")

    def __init__(self, parts: tuple[dict[K, V], ...], count: int) -> None:
        """Take a power of two of dicts, each holding the keys whose hash ends in its number."""
        self.parts = parts
        self.mask = len(parts) - 1
        self._count = count

    @classmethod
    def empty(cls, expected: int = 0) -> "Shards[K, V]":
        """Give an empty map, cut for the number of entries expected."""
        return cls(tuple({} for _ in range(_cut_for(expected))), 0)

    def get(self, key: K) -> V | None:
        """Look an entry up."""
        return self.parts[hash(key) & self.mask].get(key)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[K]:
        for part in self.parts:
            yield from part

    def values(self) -> Iterator[V]:
        """Walk the values, in no order."""
        for part in self.parts:
            yield from part.values()

    def items(self) -> Iterator[tuple[K, V]]:
        """Walk the entries, in no order."""
        for part in self.parts:
            yield from part.items()

    def edit(self) -> "Edit[K, V]":
        """Begin the next version."""
        return Edit(self.parts, self._count)


class Edit(Generic[K, V]):
    """The next version of a `Shards` in the making; copies a shard when it first touches it."""

    __slots__ = ("_count", "_fresh", "_mask", "_parts")

    def __init__(self, parts: tuple[dict[K, V], ...], count: int) -> None:
        """Start from the shards of a version."""
        self._parts = parts
        self._mask = len(parts) - 1
        self._count = count
        self._fresh: dict[int, dict[K, V]] = {}

    def get(self, key: K) -> V | None:
        """Look an entry up, as changed so far."""
        number = hash(key) & self._mask
        return self._fresh.get(number, self._parts[number]).get(key)

    def put(self, key: K, value: V) -> None:
        """Set an entry."""
        part = self._owned(key)
        before = len(part)
        part[key] = value
        self._count += len(part) - before

    def drop(self, key: K) -> None:
        """Remove an entry if it is there."""
        if self.get(key) is not None:
            del self._owned(key)[key]
            self._count -= 1

    def done(self) -> Shards[K, V]:
        """Give the new version."""
        if len(self._parts) < _cut_for(self._count // _OVERGROWN):
            return self._cut_anew()
        parts = list(self._parts)
        for number, part in self._fresh.items():
            parts[number] = part
        return Shards(tuple(parts), self._count)

    def abandon(self) -> "list[dict[K, V]]":
        """Give up what was made here alone; the edit is of no use after that."""
        fresh = list(self._fresh.values())
        self._fresh, self._parts, self._count = {}, ({},) * len(self._parts), 0
        return fresh

    def _owned(self, key: K) -> dict[K, V]:
        number = hash(key) & self._mask
        part = self._fresh.get(number)
        if part is None:
            part = self._fresh[number] = self._parts[number].copy()
        return part

    def _cut_anew(self) -> Shards[K, V]:
        parts: tuple[dict[K, V], ...] = tuple({} for _ in range(_cut_for(self._count)))
        mask = len(parts) - 1
        for number, part in enumerate(self._parts):
            for key, value in self._fresh.get(number, part).items():
                parts[hash(key) & mask][key] = value
        return Shards(parts, self._count)


def _cut_for(count: int) -> int:
    """Give the number of shards: about the square root, a power of two, one while there is little to copy."""
    return 1 if count <= _SMALL else 1 << (count.bit_length() // 2 + 1)
