"""How differences are found and judged."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests.oracle.comparing import Difference, Verdict, alike, differing, judge


def difference(path: str) -> Difference:
    """A difference at a path."""
    return Difference("request", "openai-chat", "gemini", "tools", path, "1", "nothing")


def test_what_differs_is_named_by_its_path() -> None:
    """Positions of a list are one path; null and nothing are the same."""
    ours = {"a": [{"b": 1}, {"b": 2}], "c": None, "d": "x"}
    theirs = {"a": [{"b": 1}, {"b": 3}], "d": "x", "e": []}
    assert list(differing(ours, theirs)) == [("a.*.b", "1, 2", "1, 3"), ("e", "nothing", "[]")]


def test_what_means_the_same_is_alike() -> None:
    """Arguments are JSON within JSON; some readers take both spellings of a name."""
    one, other = {"arguments": '{"a":1}'}, {"arguments": '{"a": 1}'}
    assert alike(one) == alike(other)
    assert alike({"max_tokens": [{"a_b": 1}]}, camel=True) == {"maxTokens": [{"aB": 1}]}


def test_a_difference_is_judged_by_the_first_verdict_that_fits() -> None:
    """What none fits is given back, and each verdict knows for how many it held."""
    verdicts = [Verdict("ours", "why", path="a.*"), Verdict("either", "why", client="openai-*", path=["b", "a.x"])]
    assert judge([difference("a.x"), difference("b"), difference("c")], verdicts) == [difference("c")]
    assert [verdict.held for verdict in verdicts] == [1, 1]


def test_every_verdict_can_be_read_and_says_why() -> None:
    """And none says that the other side is right: that is work, and it is done."""
    given = tomllib.loads((Path(__file__).parent / "verdicts.toml").read_text())["verdict"]
    assert all(verdict.why and verdict.right in ("ours", "either") for verdict in (Verdict(**each) for each in given))
