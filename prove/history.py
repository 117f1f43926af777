"""The committed history: what the catalog said at each revision, and between which moments that was the head.

The law: every bound errs towards letting an answer pass. A revision may have been the head from the moment at which the
last trigger before its COMMIT ran, until the moment by which the next one is known to be committed: because the one after
that had the head's lock, because its writer was told so, or because somebody was answered by it. A failover makes a second
branch, which shares its past with the first; a revision is named by its number and its chain together.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, pairwise
from math import inf
from typing import Any, Final, NamedTuple

from prove.truth import Ask, ChannelTruth, Row, State, Verdict

SLACK: Final = 0.0005
"""Seconds granted for reading the same clock in two processes."""

_OWN_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "groups": ("name",),
    "channels": ("id",),
    "api_keys": ("id",),
    "channel_keys": ("id",),
    "channel_models": ("model",),
    "channel_groups": ("group_name",),
    "ability_overrides": ("group_name", "model"),
}


class Token(NamedTuple):
    """A state's name."""

    revision: int
    chain: str


class Change(NamedTuple):
    """One row that went, came, or both."""

    kind: str
    gone: Row | None
    come: Row | None


class Commit(NamedTuple):
    """One revision as the database wrote it down. Times are seconds since the epoch."""

    token: Token
    begun: float
    ended: float
    changes: Sequence[Change]
    request_id: str | None = None


@dataclass(eq=False, slots=True)
class Node:
    """One state of the catalog."""

    token: Token
    state: State
    begun: float
    ended: float
    before: Node | None
    known: float = inf
    """By when it is known to have been committed."""
    request_id: str | None = None
    _verdicts: dict[Ask, Verdict] = field(default_factory=dict)

    def verdict(self, ask: Ask, now: float) -> Verdict:
        """Tell what may be said to an ask at this state."""
        verdict = self._verdicts.get(ask)
        if verdict is None:
            verdict = self.state.verdict(ask, now)
            if not verdict.passing:
                self._verdicts[ask] = verdict
        return verdict

    def changed(self, ask: Ask) -> bool:
        """Tell whether this revision changed what may be said to an ask."""
        return self.before is not None and self.verdict(ask, self.ended) != self.before.verdict(ask, self.ended)

    def saw(self, moment: float) -> None:
        """Learn that it was committed by a moment."""
        self.known = min(self.known, moment)


class _Tables:
    """The tables as of the last commit read."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[Any, Row]] = {"channels": {}, "api_keys": {}, "groups": {}}
        self._children: dict[int, dict[str, dict[Any, Row]]] = {}
        self.state = State()

    def apply(self, changes: Iterable[Change]) -> State:
        """Take a commit's changes."""
        touched: set[int] = set()
        keys = self.state.api_keys
        for change in changes:
            for row, comes in ((change.gone, False), (change.come, True)):
                if row is not None:
                    self._put(change.kind, row, comes=comes, touched=touched)
            if change.kind == "api_keys":
                keys = {row["hash"].removeprefix("\\x"): _timed(row) for row in self._rows["api_keys"].values()}
        if touched or keys is not self.state.api_keys:
            self.state = State(self._channels(touched), keys)
        return self.state

    def _put(self, kind: str, row: Row, *, comes: bool, touched: set[int]) -> None:
        key = tuple(row[name] for name in _OWN_KEYS[kind])
        if kind in self._rows:
            table = self._rows[kind]
            if kind == "channels":
                touched.add(row["id"])
        else:
            table = self._children.setdefault(row["channel_id"], {}).setdefault(kind, {})
            touched.add(row["channel_id"])
        if comes:
            table[key] = row
        else:
            table.pop(key, None)

    def _channels(self, touched: Iterable[int]) -> Mapping[int, ChannelTruth]:
        channels = dict(self.state.channels)
        for channel_id in touched:
            row = self._rows["channels"].get((channel_id,))
            if row is None:
                channels.pop(channel_id, None)
            else:
                channels[channel_id] = ChannelTruth.of(row, self._children.get(channel_id, {}))
        return channels


def _timed(row: Row) -> Row:
    """Turn an API key's expiry into seconds since the epoch."""
    expiry = row["expire_time"]
    if not isinstance(expiry, str):
        return row
    seconds = {"infinity": inf, "-infinity": -inf}.get(expiry)
    return {**row, "expire_time": datetime.fromisoformat(expiry).timestamp() if seconds is None else seconds}


@dataclass(eq=False, slots=True)
class Branch:
    """One line of history; the latter of two shares its first nodes with the former."""

    commits: list[Commit] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    tables: _Tables = field(default_factory=_Tables)
    head_from: float = -inf
    """Nothing of it was the head before this."""
    head_until: float = inf
    """Nothing of it was the head after this."""
    first_own: int = 0
    """The number of its first node that no earlier branch has."""

    def at(self, revision: int) -> Node | None:
        """Find the node of a revision."""
        number = revision - self.nodes[0].token.revision if self.nodes else -1
        return self.nodes[number] if 0 <= number < len(self.nodes) else None


class Span(NamedTuple):
    """When a node may have been the head."""

    node: Node
    begin: float
    end: float


class History:
    """All branches, the living one last."""

    def __init__(self) -> None:
        self.branches = [Branch()]
        self._by_token: dict[Token, Node] = {}
        self._spans: list[Span] = []
        self._begins: list[float] = []
        self._ends: list[float] = []

    @property
    def branch(self) -> Branch:
        """The living branch."""
        return self.branches[-1]

    @property
    def head(self) -> Node:
        """The newest node read of the living branch."""
        return self.branch.nodes[-1]

    def extend(self, commits: Iterable[Commit], *, number: int = -1) -> None:
        """Read on along a branch. Raises LookupError when a revision is missing: the history is not what it must be."""
        branch = self.branches[number]
        for commit in commits:
            last = branch.nodes[-1] if branch.nodes else None
            if last is not None and commit.token.revision != last.token.revision + 1:
                raise LookupError(f"revision {commit.token.revision} follows {last.token.revision}")
            state = branch.tables.apply(commit.changes)
            node = Node(commit.token, state, commit.begun, commit.ended, last, request_id=commit.request_id)
            if last is not None:
                last.saw(node.begun)
            branch.commits.append(commit)
            branch.nodes.append(node)
            self._by_token[commit.token] = node

    def fork(self, fork: int, *, lost: float, regained: float) -> None:
        """Begin another branch after a revision: the old one ended at `lost`, the new one may rule from `regained`.

        Call `extend` with the rest of the old branch first.
        """
        old = self.branch
        old.head_until = lost
        kept = fork - old.nodes[0].token.revision + 1
        tables = _Tables()
        for commit in old.commits[:kept]:
            tables.apply(commit.changes)
        self.branches.append(Branch(old.commits[:kept], old.nodes[:kept], tables, head_from=regained, first_own=kept))

    def node(self, token: Token) -> Node | None:
        """Find a state by its name."""
        return self._by_token.get(token)

    def after(self, node: Node) -> Node | None:
        """Find what was built on a node first."""
        branch = next((branch for branch in self.branches if branch.at(node.token.revision) is node), None)
        return branch.at(node.token.revision + 1) if branch is not None else None

    def is_lost(self, node: Node) -> bool:
        """Tell whether a node is not part of the living branch."""
        return self.branch.at(node.token.revision) is not node

    def precedes(self, older: Node, newer: Node) -> bool:
        """Tell whether one node is another, or one that it was built on."""
        return older.token.revision <= newer.token.revision and any(
            branch.at(newer.token.revision) is newer and branch.at(older.token.revision) is older
            for branch in self.branches
        )

    def lost_at(self, node: Node) -> float:
        """From when a node is not part of the living branch; infinity while it is."""
        return min(
            (
                older.head_until
                for older, newer in pairwise(self.branches)
                if older.at(node.token.revision) is node and newer.at(node.token.revision) is not node
            ),
            default=inf,
        )

    def settle(self) -> None:
        """Work out when each node was the head, from all that is known by now."""
        for branch in self.branches:
            known = inf
            for node in reversed(branch.nodes):
                known = node.known = min(known, node.known)
        self._spans = list(chain.from_iterable(map(_spans_of, self.branches)))
        self._begins = [span.begin for span in self._spans]
        self._ends = [span.end for span in self._spans]

    def heads(self, begin: float, end: float) -> list[Node]:
        """List the nodes that may have been the head at some moment of a span; call `settle` before."""
        first = bisect_left(self._ends, begin - SLACK)
        last = bisect_right(self._begins, end + SLACK)
        return [span.node for span in self._spans[first:last]]


def _spans_of(branch: Branch) -> Iterable[Span]:
    first = max(0, branch.first_own - 1)
    nodes = branch.nodes[first:]
    for node, after in pairwise((*nodes, None)):
        if node is not None:
            begin = max(node.ended, branch.head_from)
            end = min(after.known if after is not None else inf, branch.head_until)
            yield Span(node, begin, max(begin, end))
