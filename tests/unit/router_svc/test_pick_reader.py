"""Messages of picks: read as protobuf reads them, once for the same bytes, and anew whatever each pick has of its own."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from router_svc.pick_reader import KEPT, LONGEST, PickReader, id_of
from router_svc.wire import Asked, Asks
from trunkline.errors import InvalidFields
from trunkline.secret import ApiKeyHasher, Secret
from trunkline.v1 import revision_pb2, router_pb2

ASKS = Asks(ApiKeyHasher(Secret("pepper")))
Item = router_pb2.PickChannelsRequest.Item

PICKS = st.builds(
    router_pb2.Pick,
    api_key=st.sampled_from(["", "sk-1", "sk-2" * 30]),
    model=st.sampled_from(["", "m", "m" * 200, "ü" * 8_000, "m" * 17_000]),
    client_address=st.sampled_from(["", "10.0.0.1"]),
    excluded_channel_ids=st.lists(st.integers(1, 2**40), max_size=3),
    max_candidates=st.integers(-1, 4),
    seed=st.none() | st.integers(0, 2**64 - 1),
    min_token=st.none() | st.builds(revision_pb2.RevisionToken, revision=st.integers(0, 9), chain=st.just("ab")),
    required_channel_id=st.integers(-1, 2),
)
ITEMS = st.builds(Item, id=st.integers(-1, 2**63 - 1) | st.integers(0, 200), pick=st.none() | PICKS)


def said(item: Item) -> Asked | list[str]:
    """What an item says, or the fields that are wrong with it."""
    try:
        return ASKS.read_item(item)
    except InvalidFields as refused:
        return [fault.field for fault in refused.faults]


def read(reader: PickReader, message: bytes) -> list[tuple[int, Asked | list[str]]]:
    """Ids, and what was read."""
    return [
        (id_of(mark), [fault.field for fault in asked.faults] if isinstance(asked, InvalidFields) else asked)
        for mark, asked in reader.read(message)
    ]


@given(messages=st.lists(st.lists(ITEMS, max_size=4), min_size=1, max_size=3))
def test_a_message_is_read_as_protobuf_reads_it(messages: list[list[Item]]) -> None:
    """By a reader that remembers what it read before, whatever the sizes."""
    reader = PickReader(ASKS.read_item)
    for items in messages:
        for _ in range(2):
            message = router_pb2.PickChannelsRequest(items=items).SerializeToString()
            assert read(reader, message) == [(item.id, said(item)) for item in items]


@given(items=st.lists(ITEMS, min_size=1, max_size=2), data=st.data())
def test_what_protobuf_cannot_read_is_not_read_otherwise(items: list[Item], data: st.DataObject) -> None:
    """Bytes cut off, changed or put in: read as protobuf does, or refused as it does."""
    message = router_pb2.PickChannelsRequest(items=items).SerializeToString()
    begin = data.draw(st.integers(0, len(message)))
    end = data.draw(st.integers(begin, len(message)))
    message = message[:begin] + data.draw(st.binary(max_size=3)) + message[end:]
    try:
        expected = router_pb2.PickChannelsRequest.FromString(message).items
    except DecodeError:
        with pytest.raises(DecodeError):
            _ids_and_picks(message)
    else:
        assert _ids_and_picks(message) == [(item.id, said(item)) for item in expected]


def _ids_and_picks(message: bytes) -> list[tuple[int, Asked | list[str]]]:
    return read(PickReader(ASKS.read_item), message)


def test_an_id_behind_its_pick_and_a_field_of_a_newer_relay_are_read() -> None:
    """Protobuf allows any order, and what nobody here knows."""
    pick = Item(pick=router_pb2.Pick(group="g", model="m"))
    backwards = pick.SerializeToString() + Item(id=5).SerializeToString()
    twice = Item(id=6).SerializeToString() + bytes((8, 0)) + pick.SerializeToString()
    unknown_field = bytes((15 << 3, 1))
    message = b"".join(b"\x0a" + bytes((len(item),)) + item for item in (backwards, twice)) + unknown_field
    assert _ids_and_picks(message) == [(5, said(pick)), (0, said(pick))]


def test_the_same_bytes_are_read_once_and_asked_anew_each_time() -> None:
    """The same key and model; each ask has its own seed and decision."""
    reads: list[Item] = []

    def counted(item: Item) -> Asked:
        reads.append(item)
        return ASKS.read_item(item)

    reader = PickReader(counted)
    pick = router_pb2.Pick(api_key="sk-1", model="m")
    items = [Item(id=number, pick=pick) for number in range(3)]
    picks = [*reader.read(router_pb2.PickChannelsRequest(items=items).SerializeToString()) * 2]
    assert len(reads) == 1
    asks = [ASKS.fresh(asked) for _, asked in picks if isinstance(asked, Asked)]
    assert len({ask.decision_id for ask in asks}) == len({ask.seed for ask in asks}) == 6


def test_what_is_remembered_is_bounded() -> None:
    """Callers without end, and picks too long to keep; the latest are known."""
    reader = PickReader(ASKS.read_item)
    for number in range(KEPT + 10):
        reader.read(_message(f"m{number}"))
    assert len(reader._known) == KEPT
    last = reader.read(_message(f"m{KEPT + 9}"))[0][1]
    assert reader.read(_message(f"m{KEPT + 9}"))[0][1] is last
    long = _message("m" * LONGEST)
    assert reader.read(long)[0][1] is not reader.read(long)[0][1]


def test_a_fault_is_found_anew_each_time() -> None:
    """A refusal that is kept would keep what it was raised in."""
    reader = PickReader(ASKS.read_item)
    first, second = (reader.read(_message(""))[0][1] for _ in range(2))
    assert isinstance(first, InvalidFields)
    assert first is not second


def _message(model: str) -> bytes:
    item = Item(id=7, pick=router_pb2.Pick(group="g", model=model))
    return router_pb2.PickChannelsRequest(items=[item]).SerializeToString()
