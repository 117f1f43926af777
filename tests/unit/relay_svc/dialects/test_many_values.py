"""How many values of a request are translated, and that none is made of one that has more."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.dialects import Dialect, DialectFault, Losses, read_request
from relay_svc.dialects.translate import MOST_VALUES

ONE = '{"role":"user","content":"hi"}'
PIECES = {
    "messages": ",".join([ONE] * MOST_VALUES),
    "numbers": "1," * MOST_VALUES + ONE,
    "texts": '"a",' * MOST_VALUES + ONE,
    "empty objects": "{}," * MOST_VALUES + ONE,
    "keys": "{" + ",".join(f'"k{number}":1' for number in range(MOST_VALUES)) + "}",
}


@pytest.mark.parametrize("kind", PIECES)
@pytest.mark.parametrize("dialect", Dialect)
def test_a_request_of_too_many_values_is_not_translated(dialect: Dialect, kind: str) -> None:
    """Whatever they are: it is said before any of them is read."""
    with pytest.raises(DialectFault, match="values"):
        read_request(dialect, f'{{"model":"m","messages":[{PIECES[kind]}]}}'.encode(), Losses(), model="m")


@given(st.text(st.sampled_from('",\\a\n{}[]'), min_size=1, max_size=12), st.booleans())
def test_what_stands_in_a_text_is_no_value(text: str, ascii_alone: bool) -> None:
    """A table of numbers, a listing, quotes: one text, however often it holds what parts values elsewhere."""
    content = text * (2 * MOST_VALUES // len(text))
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}, ensure_ascii=ascii_alone)
    assert len(read_request(Dialect.OPENAI_CHAT, body.encode(), Losses()).messages) == 1
