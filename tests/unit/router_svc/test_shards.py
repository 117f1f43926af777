"""The sharded map: a dict that never changes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router_svc.shards import Shards

edits = st.lists(st.lists(st.tuples(st.integers(0, 300), st.one_of(st.none(), st.integers()))), max_size=8)


@given(edits, st.integers(0, 2000))
def test_it_holds_what_a_dict_would_after_any_edits(rounds: list[list[tuple[int, int | None]]], expected: int) -> None:
    """Entries put and dropped, in any order and any number of versions, leave what they would leave in a dict."""
    shards: Shards[int, int] = Shards.empty(expected)
    model: dict[int, int] = {}
    for changes in rounds:
        edit = shards.edit()
        for key, value in changes:
            if value is None:
                edit.drop(key)
                model.pop(key, None)
            else:
                edit.put(key, value)
                model[key] = value
            assert edit.get(key) == model.get(key)
        shards = edit.done()
        assert dict(shards.items()) == model
        assert len(shards) == len(model)
        assert set(shards) == set(model)
        assert sorted(shards.values()) == sorted(model.values())
        assert all(shards.get(key) == value for key, value in model.items())


def test_an_older_version_does_not_change_when_a_newer_one_is_made() -> None:
    """A snapshot that is in use stays what it is."""
    old = _filled(1000)
    edit = old.edit()
    edit.put(5, -1)
    edit.drop(6)
    new = edit.done()
    assert (old.get(5), old.get(6), len(old)) == (5, 6, 1000)
    assert (new.get(5), new.get(6), len(new)) == (-1, None, 999)


def test_a_small_change_shares_all_shards_but_one() -> None:
    """A change of one entry copies the shard it is in, and no other."""
    old = _filled(10_000)
    edit = old.edit()
    edit.put(5, -1)
    new = edit.done()
    differing = [a for a, b in zip(old.parts, new.parts, strict=True) if a is not b]
    assert len(differing) == 1
    assert len(differing[0]) < 200


def test_it_is_cut_anew_when_it_has_outgrown_its_cut() -> None:
    """An empty catalog that grows to a large one by deltas keeps its changes cheap."""
    shards = _filled(100_000, expected=0)
    assert max(len(part) for part in shards.parts) < 2_000
    assert len(shards) == 100_000


def _filled(count: int, expected: int | None = None) -> Shards[int, int]:
    edit = Shards[int, int].empty(count if expected is None else expected).edit()
    for number in range(count):
        edit.put(number, number)
    return edit.done()
