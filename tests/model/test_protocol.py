"""The protocol as it is: every law holds in every state of every scope, and the table of the model says what is in it."""

from __future__ import annotations

import random
import re

import pytest

from tests.model import protocol
from tests.model.cases import LONG, SCOPES
from tests.model.checker import check
from tests.model.flaws import Flaw
from tests.model.protocol import CatalogProtocol
from tests.model.rules import Scope

_FEWEST = 3_000
"""States of the smallest scope: one that has much fewer has lost what it was to walk through."""


@pytest.mark.parametrize("name", SCOPES)
def test_every_law_holds_in_every_state(name: str) -> None:
    """No false refusal, nothing older over newer, no lost refresh, visible stays visible, all converge: without exception."""
    result = check(CatalogProtocol(SCOPES[name]))
    print(f"{name}: {result.states} states, {result.steps} steps, depth {result.depth}")  # noqa: T201 - shown by -rP
    assert result.finding is None
    assert result.states > _FEWEST


def test_the_long_walk_adds_and_replaces_nothing() -> None:
    """`--long` walks every scope there is, each under a name of its own."""
    assert not LONG.keys() & SCOPES.keys()
    assert len({*LONG.values(), *SCOPES.values()}) == len(LONG) + len(SCOPES)


def test_the_table_names_every_step_and_nothing_else() -> None:
    """What the model does, and what it stands for, can be read in one place."""
    named = [
        re.compile(re.escape(word).replace("…", ".*").replace("1a", r"\d[ab]"))
        for row in (protocol.__doc__ or "").splitlines()
        if row.startswith("| `")
        for word in re.findall(r"`([^`]+)`", row.split(" | ")[0])
    ]
    happened = {_bare(name) for scope in SCOPES.values() for name in _wander(CatalogProtocol(scope))}
    # Only a read that is not one transaction can fail to add up.
    happened |= {
        _bare(name) for name in _wander(CatalogProtocol(Scope(commits=4, hints=1), frozenset({Flaw.TORN_READ})))
    }
    happened -= {"load reads the head"}
    assert {name for name in happened if not any(pattern.fullmatch(name) for pattern in named)} == set()
    assert {pattern.pattern for pattern in named if not any(map(pattern.fullmatch, happened))} == set()


def _bare(name: str) -> str:
    return re.sub(r"^router \d: ", "", name)


def _wander(model: CatalogProtocol) -> set[str]:
    """Take some random ways through a model; give the names of all steps there were."""
    choose, names = random.Random(7), set[str]()
    for _ in range(60):
        state = model.initial()
        for _ in range(40):
            steps = list(model.steps(state))
            names.update(step.name for step in steps)
            state = choose.choice(steps).state
    return names
