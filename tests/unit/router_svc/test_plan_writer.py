"""Plans as bytes: what protobuf reads of them is what was decided."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_svc.follower import Trust
from router_svc.plan_writer import PlanWriter
from router_svc.snapshot import Shaping
from tests.unit.router_svc.builders import channel, plan_of, snapshot
from trunkline.errors import ModelUnknown
from trunkline.rpc import refusal_of
from trunkline.v1 import router_pb2


def mark_of(number: int) -> bytes:
    """An id as a result has it."""
    return router_pb2.PickChannelsResponse.Result(id=number).SerializeToString()


TRUSTED = Trust(degraded=True, age=2.25)


@given(
    ids=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4),
    seed=st.integers(0, 2**64 - 1),
    name=st.sampled_from(["m", "m" * 100, "m" * 1000, "ü" * 12_000]),
)
def test_results_that_follow_each_other_are_one_message(ids: list[int], seed: int, name: str) -> None:
    """Whatever the sizes; a refusal among them, and the slot after them."""
    held = snapshot(channel(1, [name]), channel(2, [name]), channel(3, [name], keys=[]), revision=7)
    writer = PlanWriter(credentials=False, trust=lambda: TRUSTED)
    plan = plan_of(held, name, seed=seed, decision_id="a-decision")
    unknown = ModelUnknown(model="x", revision=7)
    slot = router_pb2.PickChannelsResponse(answers_request=True, deferred_ids=[5])
    parts = [*(writer.result(mark_of(number), plan) for number in ids), writer.result(mark_of(9), unknown)]
    read = router_pb2.PickChannelsResponse.FromString(b"".join([*parts, slot.SerializeToString()]))
    assert [result.id for result in read.results] == [*ids, 9]
    assert (read.answers_request, list(read.deferred_ids)) == (True, [5])
    assert read.results[-1].refusal == refusal_of(unknown)
    for result in read.results[:-1]:
        assert result.plan == writer.message(plan)
        assert (result.plan.seed, result.plan.decision_id, result.plan.matched_model) == (seed, "a-decision", name)
        assert result.plan.token.revision == 7
        assert (result.plan.degraded, result.plan.snapshot_age.nanos) == (True, 250_000_000)
        assert sorted(candidate.channel_id for candidate in result.plan.candidates) == [1, 2, 3]


def test_what_plans_have_in_common_is_kept_for_one_state_and_bounded() -> None:
    """Each plan names its own state, group, model and API key, however they take turns."""
    writer = PlanWriter(credentials=False, trust=lambda: TRUSTED)
    plans = [plan_of(snapshot(channel(1, ["*"], groups=[group]), revision=revision), f"m{number}", group=group)
             for revision in (1, 2) for group in ("default", "vip") for number in range(300)]  # fmt: skip
    for number, plan in enumerate(plans):
        plan.api_key_id, plan.matched_model = number % 2, plan.candidates[0].upstream_model
    for plan in (*plans, *plans[::-1]):
        read = router_pb2.Plan.FromString(writer.plan(plan))
        assert (read.token.revision, read.group) == (plan.token.revision, plan.group)
        assert (read.matched_model, read.api_key_id) == (plan.matched_model, plan.api_key_id)
        assert len(writer._said) <= 256


def test_a_stream_that_writes_for_days_keeps_nothing_of_it() -> None:
    """Neither of the plans of one message after another, nor outside of Python's own memory."""
    writer = PlanWriter(credentials=False, trust=lambda: TRUSTED)
    held = snapshot(channel(1, ["m" * 100]), revision=7)

    def write(messages: int) -> None:
        for number in range(messages):
            writer.begin()
            for _ in range(10):
                writer.result(b"\x08\x01", plan_of(held, "m" * 100, decision_id=f"{number:0200}"))

    write(500)
    before = resident()
    write(5_000)
    assert resident() - before < 4 << 20  # what is written is ten megabytes of ids alone


@pytest.mark.parametrize("credentials", [True, False])
def test_what_an_account_is_reached_with_is_for_callers_with_credentials_alone(credentials: bool) -> None:
    """Values of header overrides and the system prompt; others see that they are there. Both ways of writing plans."""
    shaped = channel(1, ["m"], header_overrides={"X-Team": "s3cret"}, shaping=Shaping(system_prompt="s3cret words"))
    writer = PlanWriter(credentials=credentials, trust=lambda: TRUSTED)
    plan = plan_of(snapshot(shaped), "m")
    for read in (writer.message(plan), router_pb2.Plan.FromString(writer.plan(plan))):
        (told,) = read.candidates
        assert told.header_overrides == {"X-Team": "s3cret" if credentials else "••••"}
        assert told.shaping.system_prompt == ("s3cret words" if credentials else "••••")


def resident() -> int:
    """Memory of the process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
