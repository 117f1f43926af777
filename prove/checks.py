"""Holds every answer against the committed history.

The laws, by the names under which breaches are counted:

* `false_negative`: a flat no must have been true at some revision that was the head at some moment between request and
  answer. Where it was a no but for another reason: `wrong_reason`; where it was true at another revision: `misdated`.
* `illegal_plan`: a plan names channels, keys and tiers that are eligible at the revision it carries, which must exist.
* `older_than_token`: what is answered to a `min_token` is of that state or of one built on it.
* `seen_and_gone`: what an admin called visible on a router is never answered otherwise by an unmarked plan of that router.
* `went_back`: a router whose unmarked plan was received answers nothing older to who asks after that.
* `false_lost_branch`: a token is called lost only when it is.
* `unavailable`: outside the windows of faults there is no UNVERIFIED, STALE or NOT_READY, and no pick without an answer.
* `fault_reported`: a refusal that no client should ever see (INTERNAL, INVALID_FIELDS).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from prove.history import SLACK, History, Node, Token
from prove.records import FLAT, LOST_BRANCH, NO_ANSWER, NOT_NOW, Ack, Answer, Violation, Window
from prove.truth import Verdict, plan_fault

NEAR: Final = 0.1
"""Seconds within which a pick is near a change."""
WANTED: Final = 3
"""Candidates that every pick of the proof asks for."""
_KEPT: Final = 25  # breaches of one law that are told in full


@dataclass(slots=True)
class Findings:
    """What was counted, and what was broken."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    broken: Counter[str] = field(default_factory=Counter)
    ages: array[float] = field(default_factory=lambda: array("d"))
    """Of each unmarked plan: the seconds since its state was surely not the head any more; 0 for one that still was."""

    def breach(self, violation: Violation) -> None:
        """Note a law that was broken."""
        self.broken[violation.law] += 1
        if self.broken[violation.law] <= _KEPT:
            self.violations.append(violation)


class _Floors:
    """By router and branch: the newest state that a router must not fall behind, as of any moment."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._events: dict[tuple[str, int], list[tuple[float, Node]]] = {}
        self._ready: dict[tuple[str, int], tuple[list[float], list[Node]]] = {}

    def put(self, router: str, moment: float, node: Node) -> None:
        """From a moment on, the router must be at a state or later."""
        for number, branch in enumerate(self._history.branches):
            if branch.at(node.token.revision) is node:
                self._events.setdefault((router, number), []).append((moment, node))

    def at(self, router: str, sent: float, received: float) -> Node | None:
        """Give the oldest state that may be answered."""
        living = 0
        for number, branch in enumerate(self._history.branches[:-1]):
            if branch.head_until <= received:
                living = number + 1
        times, nodes = self._of((router, living))
        place = bisect_left(times, sent - SLACK)
        return nodes[place - 1] if place else None

    def _of(self, key: tuple[str, int]) -> tuple[list[float], list[Node]]:
        if key not in self._ready:
            times: list[float] = []
            nodes: list[Node] = []
            for moment, node in sorted(self._events.get(key, ()), key=lambda event: event[0]):
                newest = max(node, nodes[-1], key=lambda each: each.token.revision) if nodes else node
                times.append(moment)
                nodes.append(newest)
            self._ready[key] = times, nodes
        return self._ready[key]


class Checker:
    """Checks answers that were all given within the history read so far."""

    def __init__(
        self, history: History, acks: Sequence[Ack], windows: Sequence[Window], routers: Sequence[str], fault: str
    ) -> None:
        self._history = history
        self._windows = windows
        self._routers = routers
        self._fault = fault
        self.findings = Findings()
        self._visible = _Floors(history)
        self._answered = _Floors(history)
        for ack in acks:
            self._take_ack(ack)

    def check(self, answers: Iterable[Answer]) -> Findings:
        """Check answers; give what was found."""
        answers = list(answers)
        for answer in answers:
            self._learn(answer)
        self._history.settle()
        self._commits = sorted(
            ((node.ended, node.known, node) for branch in self._history.branches for node in branch.nodes),
            key=lambda entry: entry[0],
        )
        self._commit_times = [entry[0] for entry in self._commits]
        for answer in answers:
            self._check(answer)
        return self.findings

    # ------------------------------------------------------------------ learning

    def _take_ack(self, ack: Ack) -> None:
        node = self._history.node(ack.token)
        if node is None:
            return
        node.saw(ack.time)
        for router in self._routers if ack.waited else ():
            if router not in ack.lagging:
                self._visible.put(router, ack.time, node)

    def _learn(self, answer: Answer) -> None:
        """An answer proves that what it names is committed."""
        node = self._history.node(answer.token)
        if node is not None:
            node.saw(answer.received)
            if not answer.marked and answer.plan is not None:
                self._answered.put(answer.router, answer.received, node)

    # ------------------------------------------------------------------ checking

    def _check(self, answer: Answer) -> None:
        counts = self.findings.counts
        counts["picks"] += 1
        counts[f"answer {answer.reason or 'plan'}"] += 1
        counts["with token"] += answer.min_token is not None
        if answer.plan is not None:
            self._check_plan(answer)
        elif answer.reason in FLAT:
            self._check_negative(answer)
        elif answer.reason == LOST_BRANCH:
            self._check_lost(answer)
        elif answer.reason in NOT_NOW or answer.reason.startswith(NO_ANSWER) or answer.reason == "DRAINING":
            self._check_absent(answer)
        else:
            self._breach("fault_reported", answer, "")
        if self._is_near(answer):
            counts["near a change"] += 1

    def _check_plan(self, answer: Answer) -> None:
        node = self._history.node(answer.token)
        if node is None or answer.plan is None:
            self._breach("illegal_plan", answer, "it names a revision that was never committed")
            return
        faults = [
            plan_fault(verdict, answer.plan.group, answer.plan.candidates, WANTED)
            for verdict in self._verdicts(node, answer)
        ]
        if all(faults):
            self._breach("illegal_plan", answer, faults[0])
        self._check_token(answer, [node])
        if answer.marked:
            self.findings.counts["marked degraded"] += 1
            self.findings.counts["marked degraded outside faults"] += not self._excused(answer)
            return
        after = self._history.after(node)
        self.findings.ages.append(max(0.0, answer.sent - after.known) if after is not None else 0.0)
        for law, floors in (("seen_and_gone", self._visible), ("went_back", self._answered)):
            floor = floors.at(answer.router, answer.sent, answer.received)
            if floor is not None and not self._history.precedes(floor, node):
                self._breach(law, answer, f"{floor.token.revision} was already in force there")

    def _check_negative(self, answer: Answer) -> None:
        heads = self._history.heads(answer.sent, answer.received)
        agreeing = [node for node in heads if self._says(node, answer)]
        named = [node for node in agreeing if answer.token.revision in (-1, node.token.revision)]
        if named:
            self.findings.counts["proven negatives"] += 1
            self._check_token(answer, named)
            return
        told = {node.token.revision: node.verdict(answer.ask, answer.sent).reason or "plan" for node in heads}
        if agreeing:
            self._breach("misdated", answer, f"heads meanwhile: {told}")
        elif any(reason != "plan" for reason in told.values()):
            self._breach("wrong_reason", answer, f"heads meanwhile: {told}")
        else:
            self._breach("false_negative", answer, f"heads meanwhile: {told}")

    def _check_token(self, answer: Answer, nodes: Sequence[Node]) -> None:
        if answer.min_token is None:
            return
        wanted = self._history.node(answer.min_token)
        if wanted is None or not any(self._history.precedes(wanted, node) for node in nodes):
            self._breach("older_than_token", answer, f"the token is of revision {answer.min_token.revision}")
        else:
            self.findings.counts["reads proven not older than their token"] += 1

    def _check_lost(self, answer: Answer) -> None:
        wanted = self._history.node(answer.min_token) if answer.min_token is not None else None
        if wanted is not None and self._history.lost_at(wanted) > answer.received:
            self._breach("false_lost_branch", answer, f"revision {wanted.token.revision} is in the living history")

    def _check_absent(self, answer: Answer) -> None:
        self.findings.counts[f"in faults {answer.reason}" if self._excused(answer) else "outside faults"] += 1
        if not self._excused(answer):
            self._breach("unavailable", answer, "no fault was there to excuse it")

    # ------------------------------------------------------------------ inside

    def _verdicts(self, node: Node, answer: Answer) -> list[Verdict]:
        """Tell what a state may have said while the pick was under way; an expiry may have passed meanwhile."""
        first = node.verdict(answer.ask, answer.sent - SLACK)
        return [first, node.verdict(answer.ask, answer.received + SLACK)] if first.passing else [first]

    def _says(self, node: Node, answer: Answer) -> bool:
        return any(verdict.reason == answer.reason for verdict in self._verdicts(node, answer))

    def _excused(self, answer: Answer) -> bool:
        return any(
            window.begin <= answer.received
            and answer.sent <= window.end
            and (window.routers is None or answer.router in window.routers)
            for window in self._windows
        )

    def _is_near(self, answer: Answer) -> bool:
        """Tell whether what may be said to this very ask changed within NEAR of the pick."""
        # A commit's own span is short but for the last ones before a fault; looking back a second finds those that matter.
        first = bisect_left(self._commit_times, answer.sent - NEAR - 1.0)
        last = bisect_right(self._commit_times, answer.received + NEAR)
        return any(
            known >= answer.sent - NEAR and node.changed(answer.ask) for _, known, node in self._commits[first:last]
        )

    def _breach(self, law: str, answer: Answer, why: str) -> None:
        during = next((w.fault for w in self._windows if w.begin <= answer.received and answer.sent <= w.end), "")
        said = f"{answer.reason or 'a plan'} at {answer.token.revision} {answer.token.chain[:8]}"
        what = (
            f"{answer.router} said {said}{' (marked)' if answer.marked else ''} to {answer.ask} "
            f"from {answer.sent:.6f} to {answer.received:.6f}: {why}"
        )
        if answer.plan is not None:
            what += f"; {answer.plan}"
        self.findings.breach(Violation(law, what, answer.received, during or self._fault))


def check_acks(history: History, acks: Sequence[Ack], refused: Mapping[str, float], findings: Findings) -> None:
    """Check what admins said of commits: acknowledged ones exist under their request id, refused ones do not."""
    made = {node.request_id: node for branch in history.branches for node in branch.nodes if node.request_id}
    for ack in acks:
        node = history.node(ack.token)
        if node is None:
            findings.breach(Violation("acknowledged_and_lost", f"{ack.token} of {ack.request_id}", ack.time))
        elif node.request_id != ack.request_id:
            findings.breach(Violation("acknowledged_and_lost", f"{ack.token} is not of {ack.request_id}", ack.time))
    for request_id, moment in refused.items():
        if request_id in made:
            findings.breach(Violation("refused_and_committed", f"{request_id} is {made[request_id].token}", moment))


__all__ = ["Checker", "Findings", "Token", "check_acks"]
