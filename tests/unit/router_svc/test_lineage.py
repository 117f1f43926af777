"""Whether a token belongs to the history that was followed."""

from __future__ import annotations

from router_svc.lineage import KEPT, Lineage, Standing
from router_svc.snapshot import Token


def token(revision: int, branch: str = "a") -> Token:
    """A token of a branch."""
    return Token(revision, f"{branch}{revision}")


def test_tokens_are_told_apart_by_number_and_chain() -> None:
    """Reached, ahead, of another branch, or older than what is kept."""
    lineage = Lineage()
    lineage.restart([token(7), token(8), token(9)], token(9))
    assert lineage.standing(token(9)) is Standing.REACHED
    assert lineage.standing(token(7)) is Standing.REACHED
    assert lineage.standing(token(10)) is Standing.AHEAD
    assert lineage.standing(token(8, "b")) is Standing.FOREIGN
    assert lineage.standing(token(6)) is Standing.FORGOTTEN


def test_a_token_without_a_chain_is_compared_by_its_number() -> None:
    """A person may ask for a revision."""
    lineage = Lineage()
    lineage.restart([], token(9))
    assert lineage.standing(Token(3, "")) is Standing.REACHED
    assert lineage.standing(Token(10, "")) is Standing.AHEAD


def test_another_branch_replaces_what_was_followed() -> None:
    """After a lost branch its tokens are foreign, those of the new one are known."""
    lineage = Lineage()
    lineage.restart([token(revision) for revision in range(1, 10)], token(9))
    lineage.restart([token(6), token(7, "b")], token(7, "b"))
    assert lineage.standing(token(7)) is Standing.FOREIGN
    assert lineage.standing(token(6)) is Standing.REACHED
    assert lineage.standing(token(9)) is Standing.AHEAD


def test_what_the_database_vouched_for_is_remembered() -> None:
    """An old token is looked up once."""
    lineage = Lineage()
    lineage.restart([], token(9))
    lineage.remember(token(2))
    assert lineage.standing(token(2)) is Standing.REACHED


def test_what_the_database_has_pruned_was_reached_long_ago() -> None:
    """History is forgotten from its old end, so all that is older than a forgotten revision is forgotten too."""
    lineage = Lineage()
    lineage.restart([], token(9))
    lineage.forget_until(5)
    lineage.forget_until(3)
    assert lineage.standing(token(5)) is Standing.REACHED
    assert lineage.standing(token(4)) is Standing.REACHED
    assert lineage.standing(token(6)) is Standing.FORGOTTEN


def test_what_was_pruned_of_one_branch_tells_nothing_of_another() -> None:
    """Nor do its chains: whatever is read whole is asked about anew."""
    lineage = Lineage()
    lineage.restart([token(7)], token(9))
    lineage.forget_until(5)
    lineage.restart([], token(12, "b"))
    for old in (token(5), token(7), token(9)):
        assert lineage.standing(old) is Standing.FORGOTTEN
    assert lineage.standing(token(12, "b")) is Standing.REACHED


def test_the_history_kept_is_bounded() -> None:
    """Following for ever takes no more memory than following for a while."""
    lineage = Lineage()
    lineage.restart([], token(0))
    for revision in range(1, 3 * KEPT):
        lineage.extend([token(revision)], token(revision))
    assert len(lineage._chains) <= KEPT
    assert lineage.standing(token(3 * KEPT - 1)) is Standing.REACHED
