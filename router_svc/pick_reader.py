"""Messages of picks, from the bytes that travelled: the same caller asks the same again and again, and is read once.

The law: what a pick says is remembered by its bytes, and by nothing else; who it is from and what that one may is looked up
anew for each pick. Of protobuf's encoding is known here how items follow each other, each with its id and then the rest;
whatever else comes is left to protobuf.
"""

from collections.abc import Callable
from typing import Final

from router_svc.wire import Asked
from trunkline.errors import InvalidFields
from trunkline.v1 import router_pb2

KEPT: Final = 4_096
"""Picks remembered of one stream at most; the one that came first is forgotten first."""
LONGEST: Final = 512
"""Bytes of a pick that is worth remembering."""

_MESSAGE: Final = router_pb2.PickChannelsRequest
_ITEM: Final = _MESSAGE.Item
_RESULT: Final = router_pb2.PickChannelsResponse.Result
_LENGTH_DELIMITED: Final = 2  # the wire type of what is inside a message
_ITEM_KEY: Final = _MESSAGE.ITEMS_FIELD_NUMBER << 3 | _LENGTH_DELIMITED
_ID_KEY: Final = _ITEM.ID_FIELD_NUMBER << 3
_LONGEST_ID: Final = 11  # bytes, with its key

Read = tuple[bytes, Asked | InvalidFields]
"""A pick's mark, and what it says, or what is wrong with it.

The mark is the id as it is written: an item and the result that answers it write it alike.
"""


class PickReader:
    """Reads the messages of one stream."""

    def __init__(self, read: Callable[[router_pb2.PickChannelsRequest.Item], Asked]) -> None:
        """Take what reads a pick; it raises InvalidFields."""
        self._read = read
        self._known: dict[bytes, Asked] = {}

    def read(self, message: bytes) -> list[Read]:
        """Read a message. Raises DecodeError when it is none."""
        picks: list[Read] = []
        known, at, end = self._known, 0, len(message)
        try:
            while at < end:
                key, size = message[at], message[at + 1]
                at += 2
                if size > 0x7F:  # noqa: PLR2004 - seven bits a byte
                    size += (message[at] << 7) - 0x80
                    if message[at] > 0x7F:  # noqa: PLR2004 - likewise
                        return self._by_protobuf(message)
                    at += 1
                begin, at_end = at, at + size
                if size and message[at] == _ID_KEY:
                    at += 1
                    while message[at] > 0x7F:  # noqa: PLR2004 - likewise
                        at += 1
                    at += 1
                if key != _ITEM_KEY or at - begin > _LONGEST_ID or not at <= at_end <= end:
                    return self._by_protobuf(message)
                rest = message[at:at_end]
                asked = known.get(rest) or self._new(rest)
                if asked is None:
                    return self._by_protobuf(message)
                picks.append((message[begin:at], asked))
                at = at_end
        except IndexError:
            return self._by_protobuf(message)
        return picks

    def _new(self, rest: bytes) -> Asked | InvalidFields | None:
        """Read what was not read before; None when an id may be in there, or it is written as nobody writes it."""
        item = _ITEM.FromString(rest)
        if item.id or item.ByteSize() != len(rest):
            return None
        asked = self._said(item)
        if isinstance(asked, Asked) and len(rest) <= LONGEST:
            if len(self._known) >= KEPT:
                del self._known[next(iter(self._known))]
            self._known[rest] = asked
        return asked

    def _by_protobuf(self, message: bytes) -> list[Read]:
        return [
            (_RESULT(id=item.id).SerializeToString(), self._said(item)) for item in _MESSAGE.FromString(message).items
        ]

    def _said(self, item: router_pb2.PickChannelsRequest.Item) -> Asked | InvalidFields:
        try:
            return self._read(item)
        except InvalidFields as faults:
            return faults


def id_of(mark: bytes) -> int:
    """Give the id that a mark stands for."""
    return _RESULT.FromString(mark).id
