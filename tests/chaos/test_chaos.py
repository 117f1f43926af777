"""Real processes and a real Postgres, killed and cut off while clients check every answer against the committed history.

Law: whatever breaks, no answer is ever wrong; what cannot be proven is put off, and only while something is broken. The long
form is `python -m prove`; prove/checks.py says what is held against the history. What must come within seconds is held to
them here only while the machine has processor time to spare; it must come in any case.
"""

from __future__ import annotations

from collections import Counter

from prove.campaign import Campaign
from prove.checks import Findings
from prove.faults import FAULTS
from prove.records import Violation
from prove.validate import judge, read_deployment, read_lines


async def broken_by(campaign: Campaign, *faults: str) -> list[Violation]:
    """Every law that is broken while and after faults, one after another, under load."""
    before = len(campaign.findings.violations)
    for fault in faults:
        await campaign.phase(FAULTS[fault])
    return campaign.findings.violations[before:]


async def test_while_nothing_is_broken_every_answer_is_true_and_none_is_put_off(campaign: Campaign) -> None:
    """Changes and picks of the same pairs at the same time, and no fault to excuse anything."""
    counts: Counter[str] = Counter()
    while counts["picks"] <= 500:  # so many as a machine does in a second or in a minute
        counts.update((await campaign.phase(None)).counts)
    assert campaign.findings.violations == []
    assert counts["outside faults"] == 0


async def test_an_admin_killed_between_commit_and_stream_loses_no_change(campaign: Campaign) -> None:
    """Its change is in force all the same, and no client of a router notices anything."""
    assert await broken_by(campaign, "admin killed after its commit, before the stream") == []


async def test_an_admin_killed_before_its_commit_leaves_no_trace(campaign: Campaign) -> None:
    """What was not acknowledged may be repeated under its request id at another admin."""
    assert await broken_by(campaign, "admin killed before its commit") == []


async def test_a_router_frozen_past_its_lease_never_answers_unmarked_from_before(campaign: Campaign) -> None:
    """Changes were called visible without it meanwhile."""
    assert await broken_by(campaign, "router frozen past its lease") == []


async def test_a_router_killed_and_started_again_answers_nothing_older(campaign: Campaign) -> None:
    """Its lease still lives when its successor comes."""
    assert await broken_by(campaign, "router killed") == []


async def test_a_database_killed_or_out_of_reach_puts_negatives_off_and_nothing_else(campaign: Campaign) -> None:
    """Plans go on from memory; a flat no waits for its proof."""
    assert await broken_by(campaign, "Postgres killed", "database way stalled") == []


async def test_hints_lost_on_the_way_cost_time_and_no_truth(campaign: Campaign) -> None:
    """The poll carries what the streams do not."""
    assert await broken_by(campaign, "streams a black hole") == []


async def test_the_validator_finds_nothing_against_the_logs_of_all_this(campaign: Campaign) -> None:
    """It reads what an operator has: logs and the database, and contradicts neither."""
    logs = [member.log for member in campaign.cluster.members]
    verdicts = judge(read_lines(logs), read_deployment(campaign.cluster.dsn))
    assert verdicts.faults == []
    assert verdicts.counts["negatives"] > 0
    assert verdicts.counts["changes found in the history"] > 0


async def test_a_machine_with_a_wrong_clock_answers_as_every_other(campaign: Campaign) -> None:
    """Keys expire by the database's clock, and spans are measured by none that can be set."""
    assert await broken_by(campaign, "wall clocks jump") == []


async def test_a_standby_that_lagged_takes_over_and_tokens_it_never_had_are_called_lost(campaign: Campaign) -> None:
    """Revisions are gone with the primary; nobody answers by them as if they were in force."""
    assert await broken_by(campaign, "lagging standby promoted") == []


async def test_what_was_asked_was_hard_enough_to_prove_something(campaign: Campaign) -> None:
    """Of all picks so far, many were near a change of the very pair and many were proven to be a no."""
    while campaign.mutators.ledger.counts["acknowledged"] < 10:
        await campaign.phase(None)
    campaign.finish()
    counts: Counter[str] = campaign.findings.counts
    assert campaign.findings == Findings(counts, ages=campaign.findings.ages)
    assert counts["near a change"] >= counts["picks"] / 10
    assert counts["proven negatives"] >= counts["picks"] / 20
