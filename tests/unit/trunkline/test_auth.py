"""Bearer tokens and scopes."""

import pytest

from trunkline import auth
from trunkline.secret import Secret

TABLE = auth.TokenTable.of(Secret("adm"), Secret("svc"), Secret("pick:p,pick+credentials:pc"))


def test_each_token_has_its_scopes_and_no_more() -> None:
    """The admin token never opens channel keys; the service token never changes anything."""
    assert auth.CREDENTIALS not in TABLE.scopes_of("adm")
    assert TABLE.scopes_of("svc") == {auth.PICK, auth.CREDENTIALS}
    assert TABLE.scopes_of("p") == {auth.PICK}
    assert TABLE.scopes_of("pc") == {auth.PICK, auth.CREDENTIALS}


@pytest.mark.parametrize("token", ["", "ad", "adm ", "ADM", "svcx", "\udcff", "x" * 10_000])
def test_anything_but_the_whole_token_has_no_scope(token: str) -> None:
    """No prefix, no case folding, no crash."""
    assert TABLE.scopes_of(token) == frozenset()


def test_an_empty_token_is_not_a_token() -> None:
    """A token that was left empty opens nothing."""
    assert auth.TokenTable.of(Secret(""), Secret("")).scopes_of("") == frozenset()


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer a", "a"), (b"bearer  a ", "a"), ("Basic a", ""), ("Bearer", ""), (None, ""), ("a", "")],
)
def test_the_token_is_read_from_the_header(header: str | bytes | None, token: str) -> None:
    """Any case of the scheme, no other scheme."""
    assert auth.bearer(header) == token
