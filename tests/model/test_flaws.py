"""The protocol with one rule left out: each flaw breaks a law, in the way that is kept in `traces.txt`.

A model that finds no fault in a faulty protocol would prove nothing about a sound one.
"""

from __future__ import annotations

import contextlib

import pytest

from tests.model.cases import DEFENDED, MUTANTS, kept_traces
from tests.model.checker import check, replay
from tests.model.flaws import Flaw
from tests.model.protocol import CatalogProtocol
from tests.model.rules import UNSETTLED

_NAMES = [flaw.name for flaw in MUTANTS]


@pytest.mark.parametrize("name", _NAMES)
def test_a_flaw_breaks_its_law_by_the_kept_trace(name: str) -> None:
    """There is no shorter way than the one kept, and it is still the first one found."""
    mutant = MUTANTS[Flaw[name]]
    result = check(CatalogProtocol(mutant.scope, mutant.flaws))
    assert result.finding is not None
    assert result.finding.law == mutant.law
    assert result.finding.trace == kept_traces()[name]


@pytest.mark.parametrize("name", _NAMES)
def test_a_kept_trace_breaks_nothing_without_its_flaw(name: str) -> None:
    """The trace is the flaw's doing: on the protocol as it is it cannot be followed, or ends where every law holds."""
    mutant = MUTANTS[Flaw[name]]
    faulty, sound = CatalogProtocol(mutant.scope, mutant.flaws), CatalogProtocol(mutant.scope)
    assert faulty.broken(replay(faulty, kept_traces()[name])) == (mutant.law if mutant.law != UNSETTLED else "")
    with contextlib.suppress(LookupError):
        assert sound.broken(replay(sound, kept_traces()[name])) == ""


@pytest.mark.parametrize("name", [flaw.name for flaw in DEFENDED])
def test_what_one_defence_lets_through_another_stops(name: str) -> None:
    """Digests make good for torn and broken reads, wrong bases and bare sequences; without digests, these rules suffice."""
    flaw = Flaw[name]
    assert check(CatalogProtocol(DEFENDED[flaw], frozenset({flaw}))).finding is None


@pytest.mark.parametrize("name", [Flaw.NUMBER_ONLY.name, Flaw.NEWER_IS_FINE.name])
def test_digests_do_not_make_good_for_chains(name: str) -> None:
    """Two histories may have the same content: then only the chain tells that a router follows the one that was lost."""
    mutant = MUTANTS[Flaw[name]]
    result = check(CatalogProtocol(mutant.scope, mutant.flaws - {Flaw.BLIND_DIGEST}))
    assert result.finding is not None
    assert result.finding.law == UNSETTLED


def test_every_flaw_is_looked_for() -> None:
    """Each is a mutant of its own, but for blind digests, which come with those that digests would stop."""
    assert set(MUTANTS) | {Flaw.BLIND_DIGEST} == set(Flaw)
    assert set(kept_traces()) == set(_NAMES)
