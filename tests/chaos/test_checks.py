"""The checkers catch what they are there to catch: each law broken once in a made-up history, and kept once."""

from __future__ import annotations

from typing import Any

import pytest

from prove.checks import Checker, Findings, check_acks
from prove.history import Change, Commit, History, Token
from prove.records import Ack, Answer, PlanRead, Window
from prove.truth import Ask

ASK = Ask("m", "g")
PLAN = PlanRead("g", ((1, 0, 0, "m"),))
ROUTER = "r1"


def token(revision: int, branch: str = "a") -> Token:
    """A state's name; chains of branches differ."""
    return Token(revision, f"{branch}{revision}")


def commit(revision: int, status: str | None, branch: str = "a", request_id: str | None = None) -> Commit:
    """A revision committed at second `revision`, by which channel 1 serves m to g with this status; None changes nothing."""
    changes: list[Change] = []
    if revision == 0:
        changes = [
            Change("channel_models", None, {"channel_id": 1, "model": "m", "upstream_model": None}),
            Change("channel_groups", None, {"channel_id": 1, "group_name": "g"}),
        ]
    if status is not None:
        row: dict[str, Any] = {"id": 1, "status": status, "priority": 0, "weight": 1}
        changes.append(Change("channels", None, row))
    return Commit(token(revision, branch), revision - 0.01, float(revision), changes, request_id)


def history() -> History:
    """On at 0, off from 1, on from 2, and two revisions more."""
    made = History()
    statuses = ("ENABLED", "DISABLED", "ENABLED", None, None)
    made.extend(commit(number, status, request_id=f"id-{number}") for number, status in enumerate(statuses))
    return made


def answer(begin: float, end: float, reason: str, revision: int, **more: Any) -> Answer:
    """What a client saw; a plan when there is no reason."""
    plan = None if reason else more.pop("plan", PLAN)
    named = more.pop("named", token(revision) if plan else Token(revision, ""))
    fields = {"marked": False, "min_token": None, "unary": True, **more}
    return Answer(ROUTER, ASK, begin, end, reason, named, plan=plan, **fields)


def broken(
    *answers: Answer, acks: tuple[Ack, ...] = (), windows: tuple[Window, ...] = (), of: History | None = None
) -> set[str]:
    """The laws that answers break."""
    return {*Checker(of or history(), acks, windows, [ROUTER], "").check(answers).broken}


def test_a_no_that_was_true_for_a_moment_meanwhile_is_proven() -> None:
    """At revision 1 the channel was off."""
    assert broken(answer(0.5, 1.5, "NO_CHANNEL", 1)) == set()


def test_a_no_that_was_never_true_meanwhile_is_false() -> None:
    """It was true before the request came. Revision 2 is known to be committed when 3 begins, or when somebody saw it."""
    assert broken(answer(2.5, 2.6, "NO_CHANNEL", 1)) == set()
    assert broken(answer(3.2, 3.3, "NO_CHANNEL", 1)) == {"false_negative"}
    assert broken(answer(2.5, 2.6, "NO_CHANNEL", 1), answer(2.1, 2.2, "", 2)) == {"false_negative"}


def test_a_no_for_another_reason_than_the_true_one_is_found() -> None:
    """The model is not unknown, its channel is off."""
    assert broken(answer(1.2, 1.3, "MODEL_UNKNOWN", 1)) == {"wrong_reason"}


def test_a_no_that_names_a_revision_which_was_not_the_head_is_found() -> None:
    """True, but not proven."""
    assert broken(answer(1.2, 1.3, "NO_CHANNEL", 0)) == {"misdated"}


@pytest.mark.parametrize(
    "plan",
    [
        PlanRead("g", ((2, 0, 0, "m"),)),
        PlanRead("h", ((1, 0, 0, "m"),)),
        PlanRead("g", ((1, 7, 0, "m"),)),
        PlanRead("g", ((1, 0, 5, "m"),)),
        PlanRead("g", ((1, 0, 0, "n"),)),
        PlanRead("g", ((1, 0, 0, "m"), (1, 0, 0, "m"))),
        PlanRead("g", ()),
    ],
)
def test_a_plan_must_be_what_its_revision_says(plan: PlanRead) -> None:
    """Channel, group, key, tier, upstream's name, each once, none missing."""
    assert broken(answer(0.5, 0.6, "", 0, plan=plan)) == {"illegal_plan"}


def test_a_plan_by_a_state_in_which_its_channel_is_off_is_found() -> None:
    """And so is one by a state that never was."""
    assert broken(answer(1.2, 1.3, "", 1)) == {"illegal_plan"}
    assert broken(answer(1.2, 1.3, "", 9)) == {"illegal_plan"}


def test_a_plan_may_be_old_unless_something_was_promised() -> None:
    """Positives come from memory."""
    assert broken(answer(4.5, 4.6, "", 0)) == set()


def test_an_answer_to_a_token_is_never_older() -> None:
    """Neither a plan nor a no."""
    assert broken(answer(4.5, 4.6, "", 2, min_token=token(2))) == set()
    assert broken(answer(4.5, 4.6, "", 2, min_token=token(3))) == {"older_than_token"}
    assert broken(answer(1.5, 1.6, "NO_CHANNEL", 1, min_token=token(2))) == {"older_than_token"}


def test_what_was_called_visible_stays_visible_unless_the_answer_is_marked() -> None:
    """Only for who asks after that, and not on a router that was named as lagging."""
    seen = Ack(3.5, token(3), "id-3", True, frozenset())
    assert broken(answer(3.6, 3.7, "", 2), acks=(seen,)) == {"seen_and_gone"}
    assert broken(answer(3.4, 3.7, "", 2), acks=(seen,)) == set()
    assert broken(answer(3.6, 3.7, "", 2, marked=True), acks=(seen,)) == set()
    assert broken(answer(3.6, 3.7, "", 2), acks=(seen._replace(lagging=frozenset({ROUTER})),)) == set()


def test_a_router_never_goes_back() -> None:
    """Who asks after an answer was received gets nothing older."""
    assert broken(answer(3.1, 3.2, "", 3), answer(3.3, 3.4, "", 2)) == {"went_back"}
    assert broken(answer(3.1, 3.3, "", 3), answer(3.2, 3.4, "", 2)) == set()


def test_being_put_off_is_excused_by_a_fault_of_that_router_alone() -> None:
    """And by nothing else."""
    late = answer(1.2, 1.3, "UNVERIFIED", -1)
    assert broken(late) == {"unavailable"}
    assert broken(late, windows=(Window(1.0, 1.25, None, "x"),)) == set()
    assert broken(late, windows=(Window(1.0, 1.25, frozenset({ROUTER}), "x"),)) == set()
    assert broken(late, windows=(Window(1.0, 1.25, frozenset({"r2"}), "x"),)) == {"unavailable"}
    assert broken(late, windows=(Window(1.4, 1.5, None, "x"),)) == {"unavailable"}


def forked() -> History:
    """A standby that had got revision 2 only took over at second 5; there the channel is off from 3 on."""
    made = history()
    made.fork(2, lost=5.0, regained=5.2)
    made.extend([commit(3, "DISABLED", "b")._replace(begun=5.99, ended=6.0)])
    return made


def test_after_a_failover_each_branch_is_the_truth_of_its_time() -> None:
    """The lost branch until the primary was gone, what it shared with the other from then on."""
    assert broken(answer(4.1, 4.2, "NO_CHANNEL", 3), of=forked()) == {"false_negative"}
    assert broken(answer(6.1, 6.2, "NO_CHANNEL", 3), of=forked()) == set()
    assert broken(answer(6.1, 6.2, "", 3, named=token(3, "b")), of=forked()) == {"illegal_plan"}


def test_a_token_is_called_lost_only_when_it_is() -> None:
    """Shared revisions live on, and nobody may answer a lost token with another branch."""
    assert broken(answer(6.1, 6.2, "LOST_BRANCH", -1, min_token=token(4)), of=forked()) == set()
    assert broken(answer(4.1, 4.2, "LOST_BRANCH", -1, min_token=token(4)), of=forked()) == {"false_lost_branch"}
    assert broken(answer(6.1, 6.2, "LOST_BRANCH", -1, min_token=token(2)), of=forked()) == {"false_lost_branch"}
    assert broken(answer(6.1, 6.2, "", 2, min_token=token(4)), of=forked()) == {"older_than_token"}


def test_what_was_lost_with_a_primary_binds_nobody_after() -> None:
    """What was called visible of the shared past still does."""
    acks = (Ack(4.5, token(4), "id-4", True, frozenset()), Ack(2.5, token(2), "id-2", True, frozenset()))
    assert broken(answer(5.5, 5.6, "", 2), acks=acks, of=forked()) == set()
    assert broken(answer(5.5, 5.6, "", 0), acks=acks, of=forked()) == {"seen_and_gone"}


def test_picks_near_a_change_of_their_own_pair_are_counted_and_others_are_not() -> None:
    """Revision 3 changed nothing for the pair."""
    found = Checker(history(), (), (), [ROUTER], "").check(
        [answer(1.95, 1.96, "NO_CHANNEL", 1), answer(3.12, 3.13, "", 2), answer(3.15, 3.16, "", 3)]
    )
    assert found.counts["near a change"] == 1


def test_an_acknowledged_change_that_is_not_in_the_history_is_found() -> None:
    """And so is one that was refused and is."""
    findings = Findings()
    check_acks(history(), [Ack(3.5, token(3), "id-3", True, frozenset())], {"id-9": 1.0}, findings)
    assert not findings.broken
    check_acks(history(), [Ack(3.5, token(3, "b"), "id-3", True, frozenset())], {"id-2": 1.0}, findings)
    assert {*findings.broken} == {"acknowledged_and_lost", "refused_and_committed"}
