"""Which API keys count as known: confirmed ones, for a while, a bounded number, and nothing of them is kept."""

from __future__ import annotations

from relay_svc.known_keys import LIFETIME, KnownKeys
from trunkline.secret import Secret


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_a_key_is_known_for_a_while_after_it_was_confirmed() -> None:
    """And not before, nor after."""
    clock = Clock()
    known = KnownKeys(clock)
    assert not known.knows(Secret("sk-one"))
    known.note(Secret("sk-one"))
    clock.now = LIFETIME - 1
    assert known.knows(Secret("sk-one"))
    assert not known.knows(Secret("sk-two"))
    clock.now = LIFETIME
    assert not known.knows(Secret("sk-one"))


def test_the_number_of_known_keys_is_bounded_and_the_oldest_go_first() -> None:
    """A key that is confirmed again counts as new."""
    known = KnownKeys(Clock(), most=2)
    for key in ("sk-one", "sk-two", "sk-one", "sk-three"):
        known.note(Secret(key))
    assert [known.knows(Secret(key)) for key in ("sk-one", "sk-two", "sk-three")] == [True, False, True]


def test_nothing_of_a_key_is_kept_and_no_two_processes_keep_it_alike() -> None:
    """What is kept is a hash under a secret of this process."""
    one, two = KnownKeys(Clock()), KnownKeys(Clock())
    for known in (one, two):
        known.note(Secret("sk-secret-of-a-client"))
    kept = [repr(vars(known)["_until"]) for known in (one, two)]
    assert kept[0] != kept[1]
    assert "sk-secret" not in "".join(kept)
