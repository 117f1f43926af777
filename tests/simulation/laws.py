"""The laws, held against everything that the simulated routers and admins do, at the moment when they do it.

What is checked: a refusal was true at some moment between request and answer; a plan names what may serve at the state it
carries; nothing older is installed over what is newer, and what is installed is the state it claims to be; a refresh asked
for is owed until a load begun later has ended; what was called visible stays visible in unmarked answers; a token of a lost
branch is never reached; every pick is answered within its time. That all comes to rest again is left to `world`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from router_svc.desk import Decided, Request
from router_svc.plan import Ask, Plan
from router_svc.snapshot import Channel, Snapshot, Token
from tests.simulation.database import Catalog, Database, covers
from tests.simulation.virtual import Universe
from trunkline.errors import LostBranch, NotReady, Reason, Refused, Stale, Unverified

_SLACK: Final = 0.05  # seconds past its time limit within which an answer counts as in time: turns of the event loop


class Answer(NamedTuple):
    """One pick as it was answered; times are the universe's."""

    router: str
    request: Request
    arrival: float
    time: float
    decided: Decided
    marked: bool
    """Whether the router knew itself degraded."""
    held_up: float
    """Seconds for which the process was frozen meanwhile."""


@dataclass(frozen=True)
class Promise:
    """Somebody was told that a change is in force."""

    token: Token
    routers: frozenset[str] | None
    """Where; None is everywhere."""


class Violation(NamedTuple):
    """A law broken."""

    law: str
    told: str


class Witness:
    """Sees everything and remembers the promises."""

    def __init__(self, database: Database, universe: Universe) -> None:
        self._universe = universe
        self.violations: list[Violation] = []
        self.answers: list[Answer] = []
        self.promises: list[Promise] = []
        self._database = database

    def accuse(self, law: str, told: str) -> None:
        """Note a violation."""
        self.violations.append(Violation(law, told))
        self._universe.over = True

    def promised(self, token: Token, routers: frozenset[str] | None) -> None:
        """An admin found a change in force: on some routers, or (None) everywhere. A lost one is in force nowhere."""
        if self._database.head.holds(token):
            self.promises.append(Promise(token, routers))

    def failed_over(self) -> None:
        """What a failover lost was promised for as long as it was there."""
        self.promises = [promise for promise in self.promises if self._database.head.holds(promise.token)]

    # ------------------------------------------------------------------ installing

    def installed(self, router: str, before: Snapshot | None, after: Snapshot) -> None:
        """A router swapped its snapshot."""
        database = self._database
        state = database.by_token.get(after.token)
        if state is None:
            self.accuse("a snapshot is a committed state", f"{router} installed {after.token}")
            return
        if after.head != state.head:
            self.accuse("a snapshot adds up", f"{router} installed {after.head} for {state.head}")
        self._content(router, after, state)
        if before is None or after.token == before.token or not database.head.holds(before.token):
            return
        if database.by_token[before.token].holds(after.token):
            self.accuse("nothing older over newer", f"{router} installed {after.token} over {before.token}")

    def _content(self, router: str, held: Snapshot, state: Catalog) -> None:
        """What is held of each channel is what the state has, or an older version of one that cannot be read."""
        for channel, revision in state.channels():
            found = held.channels.get(channel.id)
            if channel.readable and (found is None or found.revision != revision or not _same(found, channel.on)):
                self.accuse("a snapshot holds what its token names", f"{router} holds {found} for {channel}")
            if not channel.readable and not channel.on and found is not None:
                self.accuse("quarantine never keeps what is off", f"{router} holds {found} for {channel}")

    def refresh_lost(self, router: str, what: str) -> None:
        """A router forgot that it must load."""
        self.accuse("no refresh is lost", f"{router} {what}")

    # ------------------------------------------------------------------ answering

    def answered(self, answer: Answer) -> None:
        """A router answered a pick."""
        self.answers.append(answer)
        decision, snapshot = answer.decided.decision, answer.decided.snapshot
        late = answer.time - answer.arrival - answer.held_up
        if late > answer.request.deadline + _SLACK:
            self.accuse("picks are answered in time", f"{answer} took {late:.3f} s")
        if isinstance(decision, Plan):
            self._plan(answer, decision)
        elif not isinstance(decision, (NotReady, Stale, Unverified)):
            self._refusal(answer, decision)
        if snapshot is not None and not answer.marked and not isinstance(decision, (Stale, Unverified, LostBranch)):
            self._kept(answer, snapshot.token)
        wanted = answer.request.min_token
        if wanted is not None and snapshot is not None and _rests_on(decision):
            self._reached(answer, wanted, snapshot.token)

    def _plan(self, answer: Answer, plan: Plan) -> None:
        """A plan names only what may serve at its state, and a channel that may not is there by an older version."""
        state = self._database.by_token[plan.token]
        serving = {channel.id: channel for channel, _ in state.channels()}
        for candidate in plan.candidates:
            channel = serving.get(candidate.channel.id)
            if channel is None or (channel.readable and not channel.serves(plan.group, answer.request.ask.model)):
                self.accuse("a plan names what may serve", f"{answer.router} named {channel} at {plan.token}")

    def _refusal(self, answer: Answer, refusal: Refused) -> None:
        """A flat no was true at some moment between request and answer."""
        moments = self._database.between(answer.arrival, answer.time)
        if isinstance(refusal, LostBranch):
            wanted = answer.request.min_token
            if wanted is None or all(state.holds(wanted) for state in moments):
                self.accuse("only a lost token is lost", f"{answer.router}: {refusal}")
        elif not any(_true(refusal, answer.request.ask, state) for state in moments):
            states = [state.token.revision for state in moments]
            self.accuse("no false negative", f"{answer.router} said {refusal}; the truth was {states}")

    def _kept(self, answer: Answer, token: Token) -> None:
        """What was called visible here is in every unmarked answer."""
        state = self._database.by_token[token]
        for promise in self.promises:
            here = promise.routers is None or answer.router in promise.routers
            if here and not state.holds(promise.token):
                told = f"{answer.router} answered at {token}, unmarked, though {promise.token} was visible"
                self.accuse("visible stays visible", told)

    def _reached(self, answer: Answer, wanted: Token, token: Token) -> None:
        """An answer to a reader of its own write stands on that write.

        Of a revision that the database has forgotten nobody can tell any more on which branch it was: then its number
        decides.
        """
        state = self._database.by_token[token]
        forgotten = wanted.revision not in self._database.head.revisions
        if not state.holds(wanted) and not (forgotten and wanted.revision <= token.revision):
            self.accuse("a token waited for is reached", f"{answer.router} answered at {token} who wanted {wanted}")


def _rests_on(decision: object) -> bool:
    """Whether a decision was made upon a snapshot."""
    return not isinstance(decision, (NotReady, Stale, Unverified, LostBranch))


def _same(found: Channel, on: bool) -> bool:
    return (found.status == "ENABLED") == on


def _true(refusal: Refused, ask: Ask, state: Catalog) -> bool:
    """Tell by the plain rule whether a refusal is true of a state."""
    groups: tuple[str, ...] = (ask.group,)
    if ask.key_hash is not None:
        api_key = state.api_key(ask.key_hash)
        if api_key is None or not api_key.on:
            wanted = Reason.API_KEY_UNKNOWN if api_key is None else Reason.API_KEY_DISABLED
            return refusal.reason is wanted
        groups = api_key.groups
    channels = [channel for channel, _ in state.channels()]
    readable = [channel for channel in channels if channel.readable]
    if any(c.serves(group, ask.model) and c.id not in ask.excluded for c in readable for group in groups):
        return False
    if len(readable) != len(channels):
        return True  # what the router still holds of those that cannot be read decides between the reasons
    named = {group for c in channels for group in c.groups if any(covers(model, ask.model) for model in c.models)}
    if named & set(groups):
        return refusal.reason is Reason.NO_CHANNEL
    return refusal.reason is (Reason.MODEL_NOT_IN_GROUP if named else Reason.MODEL_UNKNOWN)
