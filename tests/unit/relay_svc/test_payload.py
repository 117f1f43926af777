"""What the relay reads of a body, and what it sends on."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.model_member import MOST_MENTIONS, TooManyMentions, model_keys
from relay_svc.payload import PayloadFault, parse

SPACE = st.text(" \t\r\n", max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["model", "Model", '"model"', "\\u006d"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.just("model"), inner, max_size=4),
    max_leaves=12,
)

MODEL_KEY = st.just("model")


def spelled(text: str, draw: Any) -> str:
    """Write a string as JSON, each character plain or escaped at will."""
    out = []
    for character in text:
        if ord(character) < 0x10000 and draw(st.booleans()):
            digits = f"{ord(character):04x}"
            out.append("\\u" + (digits.upper() if draw(st.booleans()) else digits))
        else:
            out.append(json.dumps(character, ensure_ascii=False)[1:-1])
    return '"' + "".join(out) + '"'


@st.composite
def bodies(draw: Any, keys: st.SearchStrategy[str] = MODEL_KEY) -> tuple[bytes, str]:
    """Draw an object with one `model` anywhere in it, spelled anyhow, with white space anywhere; and the model."""
    model = draw(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
    others = draw(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=4))
    members = [(json.dumps(key), json.dumps(value)) for key, value in others.items() if key.casefold() != "model"]
    place = draw(st.integers(0, len(members)))
    members.insert(place, (spelled(draw(keys), draw), spelled(model, draw)))
    inner = ",".join(f"{draw(SPACE)}{key}{draw(SPACE)}:{draw(SPACE)}{value}{draw(SPACE)}" for key, value in members)
    return f"{draw(SPACE)}{{{inner}}}{draw(SPACE)}".encode(), model


@given(bodies())
def test_the_model_is_found_however_it_is_spelled(drawn: tuple[bytes, str]) -> None:
    """The parser's model and the span agree with what any JSON parser reads."""
    body, model = drawn
    payload = parse(body)
    assert payload.model == model == json.loads(body)["model"]
    start, end = payload.span
    assert json.loads(body[start:end]) == model


@given(bodies(), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_mapped_model_is_all_that_changes(drawn: tuple[bytes, str], mapped: str) -> None:
    """Every byte but the model's value is the client's own."""
    body, model = drawn
    payload = parse(body)
    sent = payload.addressed_to(mapped)
    start, end = payload.span
    assert sent.startswith(body[:start])
    assert sent.endswith(body[end:])
    assert json.loads(sent) == {**json.loads(body), "model": mapped}
    assert payload.addressed_to(model) is body


@given(bodies(), bodies(st.sampled_from(["model", "Model", "MODEL", "mOdEl"])))
def test_a_second_model_is_refused_however_it_is_spelled(one: tuple[bytes, str], two: tuple[bytes, str]) -> None:
    """A body that names the model twice, in any case or by escapes, is no body to route by."""
    doubled = one[0].rstrip()[:-1] + b"," + two[0].lstrip()[1:]
    with pytest.raises(PayloadFault) as caught:
        parse(doubled)
    assert caught.value.param == "model"


@given(bodies(), st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=3))
def test_overrides_replace_members_and_leave_the_rest(drawn: tuple[bytes, str], overrides: dict[str, Any]) -> None:
    """An override's members stand in the body sent, and every other member is what it was."""
    body, _ = drawn
    if not overrides:
        return
    sent = parse(body).addressed_to("mapped", json.dumps(overrides))
    assert json.loads(sent) == {**json.loads(body), "model": "mapped", **overrides}


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_body_raises_anything_but_a_fault(body: bytes) -> None:
    """Whatever bytes come, they are a payload or a typed fault."""
    with contextlib.suppress(PayloadFault):
        assert parse(body).body == body


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"model":"m"} trailing', "not valid JSON"),
        (b'\xef\xbb\xbf{"model":"m"}', "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b'"model"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b"{}", "provide a model"),
        (b'{"model":""}', "provide a model"),
        (b'{"Model":"m"}', "provide a model"),
        (b'{"model":null}', "must be a string"),
        (b'{"model":7}', "must be a string"),
        (b'{"model":["m"]}', "must be a string"),
        (b'{"model":"\xff"}', "not UTF-8"),
        (b'{"model":"m","x":"\xff"}', "not UTF-8"),
        (b'{"model":"m","x":"\xed\xa0\x80"}', "not UTF-8"),
        (b'{"model":"m","x":"\\ud800"}', "not valid JSON"),
        (b'{"model":"m","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"model":"m","x":[' + b'"model",' * 20_000 + b"1]}", "too often"),
    ],
)
def test_what_cannot_be_routed_is_refused_with_its_fault(body: bytes, message: str) -> None:
    """Each fault has its own sentence."""
    with pytest.raises(PayloadFault, match=message):
        parse(body)


@pytest.mark.parametrize(("text", "stream"), [("true", True), ("false", False), ("null", False), ('"true"', False)])
def test_a_stream_is_what_says_true(text: str, stream: bool) -> None:
    """Only JSON's own true asks for a stream; anything else is left for the upstream to judge."""
    assert parse(b'{"model":"m","stream":' + text.encode() + b"}").stream is stream


def test_mentions_of_model_elsewhere_do_not_matter() -> None:
    """Roles, nested members and quoted text may say model as often as they like."""
    body = json.dumps(
        {
            "messages": [{"role": "model", "content": 'say "model": "x"', "model": "nested"}] * 50,
            "model": "m",
            "tools": {"model": {"model": "model"}},
        }
    ).encode()
    payload = parse(body)
    assert body[slice(*payload.span)] == b'"m"'


class _CountedBytes(bytes):
    """Bytes that count how often they are looked at whole or in part, in bytes."""

    looked = 0

    def __getitem__(self, place: Any) -> Any:
        part = super().__getitem__(place)
        if isinstance(part, bytes):
            type(self).looked += len(part)
        return part


@given(
    st.integers(2, 60), st.sampled_from([b'"model",', b'[{"model":[]}],', b'"\\"model",', b'"\\u006dodel",', b'"{",'])
)
def test_the_search_for_the_model_looks_at_each_byte_once(count: int, piece: bytes) -> None:
    """However many strings spell model, the parts that are looked at between them are no more than the body."""
    body = _CountedBytes(b'{"x":[' + piece * count + b'1],"model":"m","y":[' + piece * count + b"1]}")
    _CountedBytes.looked = 0
    keys = list(model_keys(body))
    assert [body[:key].endswith(b'"model"') for key in keys] == [True]
    assert _CountedBytes.looked <= 2 * len(body)


def test_mentions_are_bounded_while_they_are_counted() -> None:
    """The search ends at the first mention too many, not when all were found."""
    body = _CountedBytes(b'{"model":"m","x":[' + b'"model",' * (4 * MOST_MENTIONS) + b"1]}")
    _CountedBytes.looked = 0
    with pytest.raises(TooManyMentions):
        list(model_keys(body))
    assert _CountedBytes.looked < len(body) // 2
