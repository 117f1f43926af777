"""Picks written by hand are the messages that protobuf's own library would write, as far as a reader can tell."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay_svc.plan import Asked
from relay_svc.router_client.wire import duration, item_of, pick_of
from tests.harness.fuzz import examples
from trunkline.secret import Secret
from trunkline.v1 import router_pb2 as pb

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
NUMBERS = st.one_of(st.sampled_from([1, 127, 128, 16383, 16384, 2**31, 2**63 - 1]), st.integers(1, 2**63 - 1))
ASKED = st.builds(
    Asked, TEXT.map(Secret), TEXT, TEXT, st.integers(0, 2**31 - 1), st.one_of(st.just(0), st.integers(0, 2**63 - 1))
)
LIMITS = st.one_of(st.none(), st.floats(0, 1e6))


@examples(200)
@given(st.lists(st.tuples(NUMBERS, ASKED, LIMITS), max_size=5))
def test_items_written_by_hand_parse_to_what_was_meant(items: list[tuple[int, Asked, float | None]]) -> None:
    """Any number of them in a message, with any number, text and limit; the second time from what was kept."""
    meant = pb.PickChannelsRequest()
    for number, asked, limit in items:
        item = meant.items.add(id=number)
        item.pick.api_key, item.pick.model = asked.api_key.reveal(), asked.model
        item.pick.client_address, item.pick.max_candidates = asked.client_address, asked.max_candidates
        item.pick.required_channel_id = asked.channel_id
        if limit is not None:
            item.time_limit.CopyFrom(duration(limit))
    for _ in range(2):
        wire = b"".join(item_of(number, pick_of(asked), limit) for number, asked, limit in items)
        assert pb.PickChannelsRequest.FromString(wire) == meant
