"""What a follower says of a state that no read of its own has confirmed yet, or that was found to be wrong."""

from __future__ import annotations

from router_svc.follower import Load, ReadHead, RenewLease, State
from tests.unit.router_svc.test_follower import follower, head, kinds, serving


def test_a_copy_is_in_force_at_once_but_counts_for_no_proof() -> None:
    """DEGRADED, as old as it says and ageing, with nothing confirmed; it takes a lease, and the load goes on."""
    made = follower()
    made.start(0.0)
    assert made.restored(head(5), 6.0, 90.0) == [RenewLease()]
    assert made.state(6.0) is State.DEGRADED
    assert made.trust(6.0) == (True, 90.0)
    assert made.trust(8.5) == (True, 92.5)
    assert made.confirmed < 0.0
    assert made.behind


def test_a_copy_that_is_still_the_head_is_confirmed_by_a_read_of_it() -> None:
    """Nothing need be loaded: token, digest and counts are the same."""
    made = follower()
    made.start(0.0)
    made.restored(head(5), 6.0, 90.0)
    made.leased(6.1, granted=True)
    made.head_read(head(5), 6.2)
    assert made.state(6.2) is State.SERVING
    assert made.trust(6.2).age < 1.0


def test_the_next_load_goes_on_from_the_copy() -> None:
    """The database tells whether the copy is of its history."""
    made = follower()
    made.start(0.0)
    made.restored(head(5), 6.0, 90.0)
    assert Load(head(5).token) in made.load_failed(6.1, disagreed=False)


def test_a_state_that_is_distrusted_is_confirmed_by_nothing_until_everything_was_read() -> None:
    """Not by its head, and not by a load that ran already."""
    made = serving()
    assert made.hint(head(6).token, 1.0) == [Load(head(5).token)]
    before = made.confirmed
    assert made.distrust(1.1) == []
    _, actions = made.prove(1.2)
    assert kinds(actions) == [ReadHead]
    made.head_read(head(5), 1.3)
    assert made.confirmed == before
    assert made.loaded(head(6), 1.4) == [Load(None)]
    assert made.confirmed == before
    made.loaded(head(6), 1.5)
    assert made.confirmed == 1.4
