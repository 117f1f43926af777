"""Who is told what, and when a change counts as visible."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin_svc.fanout import _COMMITS_KEPT, _LINEAGE_KEPT, Fanout, Lineage, Report, WaitMode
from admin_svc.records import RouterLease, Sight, Token

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NONE = Token(0, "")


def token(revision: int, branch: str = "main") -> Token:
    """A state of the catalog on a branch of its history."""
    return Token(revision, f"{branch}-{revision}")


def lease(router_id: str, *, live: bool = True, applied: Token = NONE, state: str = "STARTING") -> RouterLease:
    """A lease row."""
    return RouterLease(
        id=router_id,
        address=f"{router_id}:1",
        incarnation="one",
        applied=applied,
        state=state,
        version="",
        expire_time=NOW,
        start_time=NOW,
        live=live,
        lease_left=5.0 if live else -1.0,
    )


def see(
    fanout: Fanout,
    head: Token,
    leases: list[RouterLease],
    newest_before: int,
    *,
    at: float = 0.0,
    ahead: float = 100.0,
    server: str = "1",
) -> None:
    """Have a fanout take a read, done in no time at some moment, of a database whose clock is ahead."""
    fanout.observe(Sight(head, leases, at + ahead, server), newest_before, at, at)


def fanout_with(*router_ids: str, head: int = 1) -> Fanout:
    """A fanout that has read a head and these live leases."""
    fanout = Fanout()
    see(fanout, token(head), [lease(router_id) for router_id in router_ids], 0)
    return fanout


def serving(revision: int, branch: str = "main") -> Report:
    """What a router says that serves a state."""
    return Report(token(revision, branch), "SERVING")


def test_a_change_is_visible_once_every_live_router_serves_it() -> None:
    """And not before the last one does."""
    fanout = fanout_with("a", "b")
    fanout.note_commit(token(2), 0.0)
    wait = fanout.begin_wait(token(2), "ALL")
    fanout.hear("a", serving(2), 0.1)
    assert not wait.done
    fanout.hear("b", serving(2), 0.2)
    answer = fanout.end_wait(wait)
    assert (answer.visible_on, answer.of, answer.lagging, answer.lapsed) == (2, 2, (), ())


@pytest.mark.parametrize(
    ("mode", "count", "enough"), [("NONE", 3, 0), ("QUORUM", 3, 2), ("QUORUM", 4, 3), ("ALL", 3, 3), ("ALL", 0, 0)]
)
def test_a_wait_ends_with_as_many_routers_as_asked_for(mode: WaitMode, count: int, enough: int) -> None:
    """A quorum is more than half."""
    names = [f"r{number}" for number in range(count)]
    fanout = fanout_with(*names)
    wait = fanout.begin_wait(token(1), mode)
    for number, name in enumerate(names):
        assert wait.done == (number >= enough)
        fanout.hear(name, serving(1), 0.0)
    assert wait.done


@pytest.mark.parametrize(
    "report",
    [
        serving(1),
        Report(token(2), "DEGRADED"),
        Report(token(2), "STARTING"),
        Report(None, "SERVING"),
        serving(2, "lost"),
    ],
)
def test_a_word_that_proves_nothing_does_not_count(report: Report) -> None:
    """An older state, a state not served, none at all, and one of another branch of history."""
    fanout = fanout_with("a", head=2)
    wait = fanout.begin_wait(token(2), "ALL")
    fanout.hear("a", report, 0.0)
    assert not wait.done
    assert fanout.end_wait(wait).lagging == ("a",)


def test_a_newer_state_counts_once_it_is_known_to_be_of_our_history() -> None:
    """Another admin committed it: its chain is looked up first."""
    fanout = fanout_with("a", "b")
    wait = fanout.begin_wait(token(1), "ALL")
    fanout.hear("a", serving(5), 0.0)
    fanout.hear("b", serving(6, "lost"), 0.0)
    assert not wait.visible
    assert fanout.unknown_revisions() == {5, 6}
    fanout.learn({5, 6}, {5: "main-5"})
    assert wait.visible == {"a"}
    assert fanout.unknown_revisions() == set()


def test_a_router_that_loses_its_lease_while_waited_for_has_lapsed() -> None:
    """Whether the row says so or is gone; one that comes back is waited for again."""
    fanout = fanout_with("a", "b", "c")
    wait = fanout.begin_wait(token(1), "ALL")
    see(fanout, token(1), [lease("a", live=False), lease("c")], 1, at=5.0)
    assert (wait.lapsed, wait.missing) == ({"a", "b"}, {"c"})
    see(fanout, token(1), [lease("a"), lease("c")], 1, at=5.5)
    assert (wait.lapsed, wait.missing) == ({"b"}, {"a", "c"})
    fanout.hear("a", serving(1), 0.0)
    fanout.hear("c", serving(1), 0.0)
    assert wait.done
    assert fanout.end_wait(wait).lapsed == ("b",)


def test_a_router_that_comes_while_waiting_is_not_counted() -> None:
    """The set is that of the moment when the wait began."""
    fanout = fanout_with("a")
    wait = fanout.begin_wait(token(1), "ALL")
    see(fanout, token(1), [lease("a"), lease("b")], 1)
    fanout.hear("a", serving(1), 0.0)
    assert (wait.done, wait.of) == (True, 1)


def test_without_a_stream_the_lease_row_speaks_for_its_router() -> None:
    """And no longer once the stream has spoken."""
    fanout = fanout_with("a")
    wait = fanout.begin_wait(token(1), "ALL")
    fanout.hear("a", Report(token(1), "DEGRADED"), 0.0)
    see(fanout, token(1), [lease("a", applied=token(1), state="SERVING")], 1)
    assert not wait.done
    fanout.lose("a")
    see(fanout, token(1), [lease("a", applied=token(1), state="SERVING")], 1)
    assert wait.done


def test_one_hint_is_on_its_way_at_most_and_newer_ones_merge() -> None:
    """Ten commits while a router is at work are one hint afterwards."""
    fanout = fanout_with("a")
    assert fanout.next_hint("a") == token(1)
    for revision in range(2, 12):
        fanout.note_commit(token(revision), 0.0)
        assert fanout.next_hint("a") is None
    fanout.hear("a", serving(1), 0.0)
    assert fanout.next_hint("a") == token(11)
    fanout.hear("a", serving(11), 0.0)
    assert fanout.next_hint("a") is None


def test_a_router_that_has_the_head_is_not_hinted_at_it() -> None:
    """Nor is one hinted twice at what it was told; heartbeats repeat it."""
    fanout = fanout_with("a", "b")
    fanout.hear("a", serving(1), 0.0)
    assert fanout.next_hint("a") is None
    assert fanout.next_hint("b") == token(1)
    fanout.hear("b", Report(None, "STARTING"), 0.0)
    assert fanout.next_hint("b") is None
    assert fanout.repeat_head("b") == token(1)
    assert fanout.next_hint("nobody") is None


def test_a_new_stream_is_told_again() -> None:
    """What was said on the old one may never have arrived."""
    fanout = fanout_with("a")
    assert fanout.next_hint("a") == token(1)
    fanout.lose("a")
    assert fanout.next_hint("a") == token(1)


def test_a_head_that_goes_back_is_another_branch() -> None:
    """A restore: what was learned is forgotten, and hints follow the new head."""
    fanout = fanout_with("a", head=9)
    wait = fanout.begin_wait(token(9), "ALL")
    fanout.hear("a", serving(9), 0.0)
    assert wait.done
    late = fanout.begin_wait(token(9), "ALL")
    see(fanout, token(4, "other"), [lease("a")], 9)
    assert fanout.head == token(4, "other")
    assert fanout.lineage.holds(token(9)) is None
    fanout.hear("a", serving(4, "other"), 0.0)
    assert fanout.end_wait(late).visible_on == 1


def test_the_same_number_with_another_chain_is_another_branch() -> None:
    """A failover to a replica that lagged, and wrote on."""
    fanout = fanout_with("a", head=9)
    see(fanout, token(9, "other"), [lease("a")], 9)
    wait = fanout.begin_wait(token(9, "other"), "ALL")
    fanout.hear("a", serving(9), 0.0)
    assert not wait.done
    fanout.hear("a", serving(9, "other"), 0.0)
    assert wait.done


def test_a_read_overtaken_by_a_commit_is_not_taken_for_a_step_back() -> None:
    """It began before the commit, and says so."""
    fanout = fanout_with("a", head=4)
    before = fanout.lineage.newest
    fanout.note_commit(token(5), 0.0)
    see(fanout, token(4), [lease("a")], before)
    assert fanout.head == token(5)
    assert fanout.lineage.holds(token(5))


@pytest.mark.parametrize("rows", [[], [lease("a", live=False)]])
@pytest.mark.parametrize(("head", "server"), [(token(9), "2"), (token(4, "other"), "1"), (token(9, "other"), "1")])
def test_after_a_failover_whoever_was_known_is_waited_for_until_a_lease_of_before_is_over(
    rows: list[RouterLease], head: Token, server: str
) -> None:
    """The new database may know nothing of it; that its server or its history is another one tells that it may not."""
    fanout = fanout_with("a", head=9)
    see(fanout, head, rows, 9, at=10.0, server=server)
    wait = fanout.begin_wait(head, "ALL")
    assert (wait.of, wait.done) == (1, False)
    see(fanout, head, rows, head.revision, at=14.9, server=server)
    assert wait.missing == {"a"}
    see(fanout, head, rows, head.revision, at=15.1, server=server)
    assert wait.done
    assert fanout.end_wait(wait).lapsed == ("a",)


def test_a_router_known_before_a_failover_need_not_be_waited_for_once_it_has_the_change() -> None:
    """Nor does the failover cost anybody more than that."""
    fanout = fanout_with("a", head=9)
    see(fanout, token(9), [], 9, at=10.0, server="2")
    wait = fanout.begin_wait(token(9), "ALL")
    fanout.hear("a", serving(9), 10.1)
    assert wait.done


def test_a_failover_that_a_commit_shows_first_is_one_all_the_same() -> None:
    """The read after it tells which leases are known, not which are held."""
    fanout = fanout_with("a", head=9)
    fanout.note_commit(token(5, "other"), 10.0)
    assert fanout.head == token(5, "other"), "nobody is told of the old one any more"
    assert fanout.lineage.holds(token(9)) is None
    see(fanout, token(5, "other"), [], fanout.lineage.newest, at=10.1)
    assert fanout.begin_wait(token(5, "other"), "ALL").missing == {"a"}


@pytest.mark.parametrize("rows", [[], [lease("a", live=False)]])
def test_when_the_databases_clock_goes_ahead_leases_that_are_over_by_it_are_held_on_to(rows: list[RouterLease]) -> None:
    """The router counts its own by a clock that did not; the row may be over so long ago that it is not even read."""
    fanout = fanout_with("a")
    see(fanout, token(1), rows, 1, at=1.0, ahead=107.0)
    wait = fanout.begin_wait(token(1), "ALL")
    assert wait.missing == {"a"}
    see(fanout, token(1), rows, 1, at=6.1, ahead=107.0)
    assert wait.done


@pytest.mark.parametrize("ahead", [40.0, 100.0, 100.0009])
def test_a_clock_that_goes_back_or_drifts_holds_nobody(ahead: float) -> None:
    """A lease that lasts longer than it should harms nobody."""
    fanout = fanout_with("a", "b")
    see(fanout, token(1), [lease("b")], 1, at=1.0, ahead=ahead)
    assert fanout.begin_wait(token(1), "ALL").missing == {"b"}


@pytest.mark.parametrize(("ahead", "held"), [(100.0, False), (103.0, True)])
def test_a_slow_read_is_no_jump_of_the_databases_clock_and_hides_none_that_comes_later(
    ahead: float, *, held: bool
) -> None:
    """The clock may have been told at its beginning or at its end: at its end is the worst that can be."""
    fanout = fanout_with("a", "b")
    fanout.observe(Sight(token(1), [lease("a"), lease("b")], 114.0, "1"), 1, 10.0, 14.0)
    see(fanout, token(1), [lease("b")], 1, at=15.0, ahead=ahead)
    assert fanout.begin_wait(token(1), "ALL").missing == ({"a", "b"} if held else {"b"})
    slow = fanout_with("a", "b")
    slow.observe(Sight(token(1), [lease("b")], 114.0, "1"), 1, 10.0, 14.0)
    assert slow.begin_wait(token(1), "ALL").missing == {"b"}


def test_a_router_that_gives_its_lease_back_is_not_waited_for() -> None:
    """It drained: its row is gone while the database is the same."""
    fanout = fanout_with("a", "b")
    see(fanout, token(1), [lease("b")], 1, at=1.0)
    assert fanout.begin_wait(token(1), "ALL").missing == {"b"}


def test_propagation_is_measured_once_a_commit_and_router() -> None:
    """From the commit here; what was there before a router joined is not its delay."""
    fanout = fanout_with("a")
    fanout.note_commit(token(2), 10.0)
    assert fanout.hear("a", serving(2), 99.0) == []
    fanout.note_commit(token(3), 100.0)
    fanout.note_commit(token(4), 101.0)
    assert fanout.hear("a", serving(3), 102.0) == [2.0]
    assert fanout.hear("a", serving(4), 103.0) == [2.0]
    assert fanout.hear("a", serving(4), 104.0) == []


def test_what_was_committed_on_a_branch_that_is_lost_is_measured_no_more() -> None:
    """Its numbers are another's now."""
    fanout = fanout_with("a")
    fanout.hear("a", serving(1), 9.0)
    fanout.note_commit(token(2), 10.0)
    see(fanout, token(2, "other"), [lease("a")], 2, at=11.0)
    assert fanout.hear("a", serving(2, "other"), 99.0) == []


def test_lagging_counts_live_routers_behind_the_head() -> None:
    """A lapsed one is not lagging: it is degraded and says so itself."""
    fanout = Fanout()
    see(fanout, token(3), [lease("a"), lease("b"), lease("c", live=False)], 0)
    fanout.hear("a", serving(3), 0.0)
    assert fanout.lagging() == 1


events = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.integers(0, 0), st.integers(0, 0)),
        st.tuples(st.just("hear"), st.integers(0, 2), st.integers(0, 12)),
        st.tuples(st.just("lose"), st.integers(0, 2), st.integers(0, 0)),
        st.tuples(st.just("leases"), st.integers(0, 7), st.integers(0, 0)),
        st.tuples(st.just("wait"), st.integers(0, 0), st.integers(0, 0)),
    ),
    max_size=40,
)


@given(events)
def test_whatever_happens_a_visible_router_has_said_that_it_serves_the_change(
    story: list[tuple[str, int, int]],
) -> None:
    """And each router of a wait is in exactly one of its three places."""
    fanout, head, said = fanout_with("0", "1", "2"), 1, dict.fromkeys("012", 0)
    waits = []
    for kind, number, revision in story:
        if kind == "commit":
            head += 1
            fanout.note_commit(token(head), 0.0)
        elif kind == "hear":
            said[str(number)] = max(said[str(number)], min(revision, head))
            fanout.hear(str(number), serving(min(revision, head)), 0.0)
        elif kind == "lose":
            fanout.lose(str(number))
        elif kind == "leases":
            rows = [lease(str(bit), live=bool(number >> bit & 1)) for bit in range(3)]
            see(fanout, token(head), rows, fanout.lineage.newest)
        else:
            waits.append(fanout.begin_wait(token(head), "ALL"))
        for wait in waits:
            assert len(wait.visible) + len(wait.missing) + len(wait.lapsed) == wait.of
            assert all(said[router_id] >= wait.token.revision for router_id in wait.visible)


def test_what_is_remembered_of_history_and_of_commits_is_bounded() -> None:
    """The newest stays; what is older is looked up again when a router names it."""
    lineage, last = Lineage(), 3 * _LINEAGE_KEPT
    for revision in range(1, last + 1):
        lineage.learn({revision: token(revision).chain})
        assert len(lineage._chains) <= 2 * _LINEAGE_KEPT
    assert lineage.newest == last
    assert lineage.holds(token(last - _LINEAGE_KEPT + 1))
    assert lineage.holds(token(1)) is None
    fanout = fanout_with("a")
    fanout.hear("a", serving(1), 0.0)
    for revision in range(2, _COMMITS_KEPT + 12):
        fanout.note_commit(token(revision), 0.0)
    assert len(fanout.hear("a", serving(_COMMITS_KEPT + 11), 1.0)) == _COMMITS_KEPT
