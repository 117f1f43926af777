"""The protocol of following, under virtual time."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_svc.follower import LEASE, POLL, RENEWAL, Action, Follower, Load, ReadHead, RenewLease, State
from router_svc.snapshot import Head, Token


def head(revision: int, branch: str = "a") -> Head:
    """The head at a revision of a branch."""
    return Head(Token(revision, f"{branch}{revision}"), revision * 7, 1, 1, 1)


def follower(**options: float) -> Follower:
    """A follower without jitter."""
    return Follower(jitter=lambda: 0.0, **options)


def serving(revision: int = 5) -> Follower:
    """A follower that has loaded, holds a lease and has proven itself under it; the time is 0."""
    made = follower()
    assert made.start(-0.3) == [Load(None)]
    assert made.loaded(head(revision), -0.2) == [RenewLease()]
    assert made.leased(-0.1, granted=True) == [ReadHead(1)]
    assert made.head_read(head(revision), 0.0) == [RenewLease()]
    assert made.leased(0.0, granted=True) == []
    assert made.state(0.0) is State.SERVING
    return made


def kinds(actions: list[Action]) -> list[type]:
    """What kinds of actions."""
    return [type(action) for action in actions]


# ---------------------------------------------------------------------- loading


def test_a_refresh_asked_for_during_a_load_is_not_lost() -> None:
    """The wanted flag is cleared before reading, and set again by what comes meanwhile."""
    made = serving()
    assert made.hint(head(6).token, 1.0) == [Load(head(5).token)]
    assert made.hint(head(7).token, 1.1) == []
    assert made.loaded(head(6), 1.2) == [Load(head(6).token)]
    assert made.loaded(head(7), 1.3) == []


def test_hints_of_what_is_applied_or_older_load_nothing() -> None:
    """A doubled hint costs nothing; an older one costs a head read, for after a failover it may be true."""
    made = serving()
    assert made.hint(head(5).token, 0.1) == []
    assert kinds(made.hint(head(4).token, 0.1)) == [ReadHead]


def test_a_hint_of_the_same_number_on_another_branch_loads() -> None:
    """The pair names a state, the number alone does not."""
    made = serving()
    assert made.hint(head(5, "b").token, 0.1) == [Load(head(5).token)]


def test_that_everything_is_to_be_read_outlives_a_load_that_fails() -> None:
    """Whom a scrub has put in doubt is not believed again for a delta that happened to work."""
    made = serving()
    assert Load(None) in made.distrust(0.1)
    assert made.load_failed(0.2, disagreed=False) == [Load(None)]
    made.loaded(head(5), 0.3)
    assert made.hint(head(6).token, 0.4) == [Load(head(5).token)]


def test_a_failed_load_is_tried_again_at_once_then_ever_slower() -> None:
    """The first retry comes at once, later ones back off to a second, and none is forgotten."""
    made = follower()
    made.start(0.0)
    now, waits = 0.0, []
    for _ in range(9):
        if not (actions := made.load_failed(now, disagreed=False)):
            assert made.wake_at() >= now
            due = min(made.wake_at(), made._load_pace.not_before)
            waits.append(made._load_pace.not_before - now)
            now = max(due, made._load_pace.not_before)
            actions = made.tick(now)
        assert Load(None) in actions
    assert waits == sorted(waits)
    assert 0.0 < waits[0] < 0.1
    assert waits[-1] == pytest.approx(1.0)


def test_a_read_that_does_not_add_up_makes_the_next_one_whole() -> None:
    """A delta that disagrees with the head is not tried upon the same base again."""
    made = serving()
    made.hint(head(6).token, 1.0)
    assert made.load_failed(1.1, disagreed=True) == [Load(None)]
    assert made.loaded(head(6), 1.2) == []
    assert made.hint(head(7).token, 1.3) == [Load(head(6).token)]


def test_a_head_with_the_applied_token_but_another_digest_makes_everything_be_read() -> None:
    """What we hold is not what the token names."""
    made = serving()
    made.tick(POLL)
    actions = made.head_read(head(5)._replace(digest=-1), POLL)
    assert Load(None) in actions


# ---------------------------------------------------------------------- head reads


def test_a_proof_joins_only_a_head_read_that_has_not_started() -> None:
    """One runs, one waits, and whoever comes while one runs shares the one that waits."""
    made = serving()
    first, actions = made.prove(0.1)
    assert actions == [ReadHead(first)]
    later = [made.prove(0.2) for _ in range(100)]
    assert {ticket for ticket, _ in later} == {first + 1}
    assert all(actions == [] for _, actions in later)
    assert made.head_read(head(5), 0.3) == [ReadHead(first + 1)]
    assert made.head_read(head(5), 0.4) == []
    assert made.confirmed == 0.3


def test_a_head_read_confirms_as_of_its_start() -> None:
    """A change during the read may not be in it."""
    made = serving()
    made.prove(1.0)
    made.head_read(head(5), 1.9)
    assert made.confirmed == 1.0


def test_a_head_that_moved_on_confirms_nothing_and_loads() -> None:
    """Negatives wait until the load is done; the load itself is the proof then."""
    made = serving()
    made.prove(1.0)
    assert made.head_read(head(6), 1.1) == [Load(head(5).token)]
    assert made.confirmed < 1.0
    made.loaded(head(6), 1.2)
    assert made.confirmed == 1.1


def test_failed_head_reads_back_off() -> None:
    """A storm upon a dead database does not become a storm of connections."""
    made = serving()
    made.prove(0.1)
    made.head_read(None, 0.1)
    _, actions = made.prove(0.1)
    assert kinds(actions) == [ReadHead]
    made.head_read(None, 0.1)
    assert made.prove(0.1)[1] == []
    assert 0.1 < made.wake_at() <= 0.2
    assert kinds(made.tick(made.wake_at())) == [ReadHead]


def test_once_the_database_answers_again_all_that_waits_for_it_tries_at_once() -> None:
    """Whichever read gets through first; the others' patience was for a database that is away."""
    made = serving()
    made.hint(head(6).token, 0.1)
    for _ in range(6):
        made.load_failed(1.0, disagreed=False)
    assert kinds(made.tick(1.1)) == [ReadHead]
    made.head_read(None, 1.2)
    assert kinds(made.prove(1.25)[1]) == [ReadHead]
    assert kinds(made.head_read(head(6), 1.3)) == [Load]


def test_what_did_not_add_up_is_not_read_again_for_a_head_that_answers() -> None:
    """It would not add up the next time either."""
    made = serving()
    made.hint(head(6).token, 0.1)
    for _ in range(6):
        made.load_failed(1.0, disagreed=True)
    made.tick(1.1)
    made.head_read(None, 1.2)
    assert kinds(made.prove(1.25)[1]) == [ReadHead]
    assert made.head_read(head(6), 1.3) == []


def test_the_head_is_polled_every_second_whatever_the_stream_does() -> None:
    """Polling is additive and never optional."""
    made = serving()
    polls = 0
    now = 0.0
    while now < 10.0:
        now = made.wake_at()
        for action in made.tick(now):
            if isinstance(action, ReadHead):
                polls += 1
                made.head_read(head(5), now)
            elif isinstance(action, RenewLease):
                made.leased(now, granted=True)
        made.hint(head(5).token, now)
    assert polls == 10


def test_routers_that_began_together_do_not_poll_together() -> None:
    """Hundreds of them are spread over a fifth of the interval, and none asks later than it."""
    due = []
    for number in range(300):
        made = Follower(jitter=random.Random(number).random)
        made.start(0.0)
        made.loaded(head(5), 0.0)
        made.tick(POLL)
        due.append(made._next_poll - POLL)
    assert 0.8 * POLL <= min(due) < 0.82 * POLL
    assert 0.98 * POLL < max(due) <= POLL
    assert _crowd(due, 0.01 * POLL) < 30


def test_routers_that_lost_their_database_together_do_not_come_back_together() -> None:
    """The first try comes at once, for a session may just have been cut; later ones spread out, slower and slower."""
    due: list[list[float]] = [[] for _ in range(6)]
    for number in range(300):
        made = Follower(jitter=random.Random(number).random)
        made.start(0.0)
        for tries in due:
            made.load_failed(0.0, disagreed=False)
            tries.append(made._load_pace.not_before)
            made.tick(100.0)
    assert set(due[0]) == {0.0}
    for tries in due[2:]:
        assert _crowd(tries, (max(tries) - min(tries)) / 10) < 60
    assert max(due[-1]) <= 1.0


def _crowd(moments: list[float], span: float) -> int:
    """The most of these moments that lie within any span."""
    return max(sum(moment <= other <= moment + span for other in moments) for moment in moments)


def test_the_poll_interval_can_only_be_shortened() -> None:
    """A longer one given is not taken."""
    assert follower(poll=60.0)._poll == POLL
    assert follower(poll=0.1)._poll == 0.1


# ---------------------------------------------------------------------- lease and trust


def test_without_a_snapshot_there_is_no_lease() -> None:
    """Nobody should wait for a router that cannot answer."""
    made = follower()
    assert made.start(0.0) == [Load(None)]
    assert RenewLease() not in made.tick(50.0)
    assert made.state(50.0) is State.STARTING


def test_a_router_is_trusted_only_after_a_read_begun_under_its_lease() -> None:
    """A change between the first load and the lease was not waited for."""
    made = follower()
    made.start(0.0)
    made.loaded(head(5), 0.1)
    assert made.state(0.1) is State.DEGRADED
    assert kinds(made.leased(0.2, granted=True)) == [ReadHead]
    assert made.state(0.2) is State.DEGRADED
    assert made.head_read(head(5), 0.3) == [RenewLease()]  # the row still says degraded
    assert made.state(0.3) is State.SERVING


def test_the_lease_counts_from_before_its_renewal_was_sent() -> None:
    """It ends here no later than in the database."""
    made = serving()
    assert RenewLease() in made.tick(RENEWAL)
    made.leased(RENEWAL + 1.0, granted=True)
    assert made.lease_left(RENEWAL + 1.0) == LEASE - 1.0


def test_a_router_past_its_lease_is_degraded_until_it_has_proven_itself_anew() -> None:
    """What others were told is visible meanwhile was not waited for here."""
    made = serving()
    made.tick(RENEWAL)
    made.leased(RENEWAL, granted=False)
    made.head_read(head(5), RENEWAL)
    assert made.state(LEASE - 0.01) is State.SERVING
    assert made.state(LEASE) is State.DEGRADED
    made.tick(LEASE + 1)
    made.head_read(head(5), LEASE + 1)
    made.leased(LEASE + 2, granted=True)
    assert made.state(LEASE + 2) is State.DEGRADED
    made.head_read(head(5), LEASE + 2.1)
    assert made.state(LEASE + 2.1) is State.SERVING


def test_a_lease_whose_renewal_was_answered_after_its_end_has_lapsed_though_it_was_sent_before() -> None:
    """It may have been written late: meanwhile the database knew of no lease, and nobody was waited for here."""
    made = serving()
    made.leased(LEASE - 1, granted=False)
    assert RenewLease() in made.tick(LEASE - 0.1)
    assert made.leased(LEASE + 0.1, granted=True) == []
    made.head_read(head(5), LEASE + 0.1)
    assert made.lease_left(LEASE + 0.1) > 0
    assert made.state(LEASE + 0.1) is State.DEGRADED
    made.head_read(head(5), LEASE + 0.2)
    assert made.state(LEASE + 0.2) is State.SERVING


def test_a_router_that_no_read_confirms_is_degraded_though_its_lease_is_renewed() -> None:
    """A lease alone does not vouch for what is held."""
    made = serving()
    now = 0.0
    while now < LEASE:
        now = made.wake_at()
        for action in made.tick(now):
            if isinstance(action, ReadHead):
                made.head_read(None, now)
            elif isinstance(action, RenewLease):
                made.leased(now, granted=True)
    assert made.lease_left(now) > 0
    assert made.state(now) is State.DEGRADED


def test_a_renewal_that_failed_is_tried_again_soon() -> None:
    """A lease is not let go for one lost connection."""
    made = serving()
    made.tick(RENEWAL)
    made.leased(RENEWAL, granted=False)
    assert made.wake_at() <= RENEWAL + 0.3


# ---------------------------------------------------------------------- any interleaving


@dataclass
class World:
    """A database, a follower, and the actions under way, in virtual time and a seeded order."""

    rng: random.Random
    now: float = 0.0
    history: list[Head] = field(default_factory=lambda: [head(0)])
    branch: str = "a"
    busy: list[tuple[Action, float, Head | None]] = field(default_factory=list)
    installed: list[tuple[float, Head]] = field(default_factory=list)
    asked: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin to follow."""
        self.follower = Follower(jitter=self.rng.random)
        self.begin(self.follower.start(self.now))

    def begin(self, actions: list[Action]) -> None:
        """Start actions; there is never a second of a kind."""
        for action in actions:
            assert type(action) not in {type(other) for other, _, _ in self.busy}
            self.busy.append((action, self.now, None))

    def step(self) -> None:
        """Let something happen."""
        self.now += self.rng.choice([0.0, 0.001, 0.05, 0.3])
        self.rng.choice([self.commit, self.hint, self.ask, self.wake, self.read, self.read, self.end, self.end])()

    def commit(self) -> None:
        """Somebody changes the catalog; rarely, the database loses its newest changes."""
        if self.rng.random() < 0.05 and len(self.history) > 2:
            self.branch += "x"
            del self.history[-self.rng.randint(1, 2) :]
        self.history.append(head(self.history[-1].token.revision + 1, self.branch))

    def hint(self) -> None:
        """A hint, perhaps late, perhaps of a lost branch."""
        self.begin(self.follower.hint(self.rng.choice(self.history[-3:]).token, self.now))

    def ask(self) -> None:
        """A negative wants a proof."""
        ticket, actions = self.follower.prove(self.now)
        self.asked[ticket] = self.now
        self.begin(actions)

    def wake(self) -> None:
        """The clock."""
        self.begin(self.follower.tick(self.now))

    def read(self) -> None:
        """The database is read for an action under way, somewhere between its start and its end."""
        for place, (action, began, seen) in enumerate(self.busy):
            if seen is None:
                self.busy[place] = (action, began, self.history[-1])

    def end(self) -> None:
        """An action ends, well or not."""
        if not self.busy:
            return
        action, began, seen = self.busy.pop(self.rng.randrange(len(self.busy)))
        failed = seen is None or self.rng.random() < 0.2
        match action:
            case Load():
                self.end_load(seen, failed=failed)
            case ReadHead(ticket):
                assert began >= self.asked.pop(ticket, 0.0)
                self.begin(self.follower.head_read(None if failed else seen, self.now))
            case RenewLease():
                self.begin(self.follower.leased(self.now, granted=not failed))

    def end_load(self, seen: Head | None, *, failed: bool) -> None:
        """A load ends."""
        if failed or seen is None:
            self.begin(self.follower.load_failed(self.now, disagreed=self.rng.random() < 0.5))
            return
        self.installed.append((self.now, seen))
        self.begin(self.follower.loaded(seen, self.now))

    def settle(self) -> None:
        """No more changes or failures: everything under way ends, and the clock runs on."""
        for _ in range(40):
            while self.busy:
                action, _, _ = self.busy.pop(0)
                match action:
                    case Load():
                        self.installed.append((self.now, self.history[-1]))
                        self.begin(self.follower.loaded(self.history[-1], self.now))
                    case ReadHead():
                        self.begin(self.follower.head_read(self.history[-1], self.now))
                    case RenewLease():
                        self.begin(self.follower.leased(self.now, granted=True))
            self.now = max(self.now, self.follower.wake_at())
            self.wake()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_in_any_interleaving_a_follower_converges_and_never_goes_back(seed: int) -> None:
    """One action of a kind at a time, proofs read after they were asked for, nothing older over newer, and it converges."""
    world = World(random.Random(seed))
    for _ in range(200):
        world.step()
        confirmed = world.follower.confirmed
        assert confirmed <= world.now
    for (_, before), (_, after) in zip(world.installed, world.installed[1:], strict=False):
        same_branch = before.token.chain.rstrip("0123456789") == after.token.chain.rstrip("0123456789")
        assert not same_branch or after.token.revision >= before.token.revision
    world.settle()
    assert world.follower.applied == world.history[-1]
    assert world.now - world.follower.confirmed <= 2 * POLL
    assert world.follower.state(world.now) is State.SERVING
