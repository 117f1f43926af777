"""Page tokens come from anybody."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin_svc.paging import Paging
from trunkline.errors import InvalidFields

KINDS = [(str,), (int,), (str, str, int)]


def token_of(key: Any) -> str:
    """A token as a list gives it out."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


@pytest.mark.parametrize(
    "token",
    [
        token_of(["\ud800"]),
        token_of(["a\0"]),
        token_of([1 << 63]),
        token_of([-(1 << 63)]),
        token_of([True]),
        token_of([1.0]),
        token_of([None]),
        token_of({"a": 1}),
        token_of(3),
        token_of(["a", "b"]),
        "\ud800",
        "é",
        "====",
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
        base64.urlsafe_b64encode(b"[" + b"9" * 5_000 + b"]").decode(),
        base64.urlsafe_b64encode(b"\xff").decode(),
    ],
    ids=lambda token: ascii(token)[:24],
)
def test_a_token_that_no_list_gave_out_is_the_callers_fault(token: str) -> None:
    """By name, whatever is in it: half a surrogate pair, a number no id can be, brackets without end."""
    for kinds in KINDS:
        with pytest.raises(InvalidFields) as caught:
            Paging(0, token).after(*kinds)
        assert [fault.field for fault in caught.value.faults] == ["page_token"]


_VALUES = st.text(st.characters(exclude_categories=[])) | st.integers() | st.none() | st.floats() | st.booleans()


@given(st.lists(_VALUES, max_size=3) | _VALUES, st.sampled_from(KINDS))
def test_what_is_taken_can_be_asked_of_the_database(key: Any, kinds: tuple[type, ...]) -> None:
    """Text that Postgres can hold, numbers that fit an id."""
    try:
        taken = Paging(0, token_of(key)).after(*kinds)
    except InvalidFields:
        return
    assert [type(part) for part in taken] == list(kinds)
    for part in taken:
        assert b"\0" not in part.encode() if isinstance(part, str) else -(1 << 63) <= part < 1 << 63
