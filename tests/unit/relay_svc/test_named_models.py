"""Every way to name a model beside the routed one: the table walked, and properties of what no table can list."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc import payload
from relay_svc.endpoints import Route, match
from relay_svc.inbound import Inbound
from relay_svc.model_naming import BODY, COMMON, FIELDS, GEMINI, Rule, Table, plain_name
from relay_svc.multipart import FormFault, parse
from relay_svc.named_models import MOST_NAMED, Beside
from relay_svc.payload import PayloadFault

OTHER = "other-model"


def places(table: Table, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Rule]]:
    """Every place of a table."""
    for name, rule in table.items():
        if isinstance(rule, Rule):
            yield (*path, name), rule
        else:
            yield from places(rule, (*path, name))


def holding(path: tuple[str, ...], value: Any, *, in_list: bool) -> dict[str, Any]:
    """An object that holds a value at a path, each object on the way in a list if wanted."""
    name, *rest = path
    if not rest:
        return {name: value}
    inner = holding(tuple(rest), value, in_list=in_list)
    return {name: [{"type": "x"}, inner] if in_list else inner}


def beside(body: Any, path: str = "/v1/chat/completions") -> tuple[Beside, ...]:
    """What a body names at an endpoint."""
    route = match("POST", path.encode())
    assert isinstance(route, Route)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Inbound(route, raw, path, b"", b"application/json").beside


IN_BODIES = [place for place in places(BODY) if place[0][-1]]
IN_GEMINI = [place for place in places(GEMINI) if place[0][-1]]
GENERATE = "/v1beta/models/m:generateContent"


@pytest.mark.parametrize("in_list", [False, True])
@pytest.mark.parametrize(("path", "rule"), IN_BODIES, ids=[".".join(path) for path, _ in IN_BODIES])
def test_every_place_of_the_table_is_seen_in_every_json_body(
    path: tuple[str, ...], rule: Rule, *, in_list: bool
) -> None:
    """A name comes out as one to be checked, all else as what cannot be."""
    values: list[Any] = [OTHER, [OTHER], [{"model": OTHER}]] if rule is Rule.MODELS else [{"id": "x"}, {"id": ["x"]}]
    for endpoint in ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings", "/v1/rerank"):
        for value in values:
            (named,) = beside({"model": "m", **holding(path, value, in_list=in_list)}, endpoint)
            assert named == Beside(".".join(path), OTHER if rule is Rule.MODELS else "")


@pytest.mark.parametrize(("path", "rule"), IN_GEMINI, ids=[".".join(path) for path, _ in IN_GEMINI])
def test_every_place_of_the_table_is_seen_in_geminis_bodies(path: tuple[str, ...], rule: Rule) -> None:
    """With and without the prefix that Google's names have."""
    for value in (OTHER, f"models/{OTHER}") if rule is Rule.MODELS else ({"id": "x"},):
        for verb in ("generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents"):
            (named,) = beside(holding(path, value, in_list=False), f"/v1beta/models/m:{verb}")
            assert named == Beside(".".join(path), OTHER if rule is Rule.MODELS else "")


def test_geminis_bodies_may_repeat_the_paths_model_where_it_is_renamed_with_it() -> None:
    """As its SDKs do, a hundred times in a batch; nowhere else, and no other model among them."""
    batch = {"requests": [{"model": "models/m", "content": {"parts": [{"text": "x"}]}}] * 200}
    assert beside(batch, "/v1beta/models/m:batchEmbedContents") == ()
    assert beside({"model": "m", "generateContentRequest": {"model": "models/m"}}, "/v1beta/models/m:countTokens") == ()
    batch["requests"].append({"model": "models/other-model"})
    assert beside(batch, "/v1beta/models/m:batchEmbedContents") == (Beside("requests.model", OTHER),)
    assert beside({"generate_content_request": {"model": "m"}}, "/v1beta/models/m:countTokens")


@pytest.mark.parametrize("body", [b"{model: 'x'}", b"", b"[]", b'{"a":1}{"model":"x"}', b'{"\xff":1}'])
def test_a_body_that_a_laxer_reader_may_read_is_refused_where_the_path_routes(body: bytes) -> None:
    """It could name anything."""
    with pytest.raises(PayloadFault):
        beside(body, GENERATE)


ORDINARY: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": '"models": ["x"]'}], "metadata": {"model": "x", "models": ["y"]}},
    {
        "tools": [
            {
                "type": "function",
                "function": {"name": "f", "parameters": {"properties": {"model": {"type": "string"}}}},
            },
            {"name": "Task", "input_schema": {"type": "object", "properties": {"model": {"enum": ["model", "x"]}}}},
        ]
    },
    {"prompt": "a text", "suffix": "x"},
    {"prompt": ["model", "models"]},
    {"container": {"skills": [{"type": "anthropic", "skill_id": "pptx"}]}},
    {
        "previous_response_id": None,
        "conversation": None,
        "models": [],
        "fallbacks": None,
        "thread": "",
        "container": None,
    },
    {"route": "fallback", "provider": {"order": ["a"], "allow_fallbacks": False, "sort": "price"}},
    {"input": [{"type": "message", "model": "x", "content": []}], "tools": [{"type": "web_search"}]},
    {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": '{"model":"x"}'}}]}], "tools": None},
]


@pytest.mark.parametrize("body", ORDINARY)
def test_what_names_no_model_is_let_through(body: dict[str, Any]) -> None:
    """Schemas, texts and other people's data may speak of models."""
    assert beside({"model": "m", **body}) == ()


AMBIGUOUS = [
    b'{"model":"m","models":["m"],"models":["x"]}',
    b'{"model":"m","models":["x"],"Models":["m"]}',
    b'{"model":"m","models":["x"],"\\u006dodels":["m"]}',
    b'{"model":"m","fallbacks":[{"model":"x","model":"m"}]}',
    b'{"model":"m","tools":[{"model":"x","model":"m"}]}',
    b'{"model":"m","tools":[{"model":"x"}],"tools":[{"type":"y"}],"a":"model"}',
    b'{"model":"m","prompt":{"id":"x"},"prompt":"a text"}',
]


@pytest.mark.parametrize("body", AMBIGUOUS)
def test_what_stands_twice_is_never_taken_for_one_of_the_two(body: bytes) -> None:
    """Readers differ in which they take: all are checked, or the member is refused."""
    named = beside(body)
    assert Beside(named[0].member, "") in named or {each.model for each in named} >= {"m", "x"}


@pytest.mark.parametrize(
    "name", ["Models", "MODELS", "mode_ls", "\\u006dodels", "model\u017f", "fallbac\u212as", "previousResponseId"]
)
def test_names_are_read_as_leniently_as_any_upstream_does(name: str) -> None:
    """Any case (and what folds to a letter), underscores or none, escapes."""
    assert beside(b'{"model":"m","' + name.encode() + b'":["x"]}')


@pytest.mark.parametrize(
    "value", [5, True, {"a": 1}, [[[["x"]]]], [5], ["m" * 2000], [{"model": {"x": {"y": {"z": "w"}}}}]]
)
def test_what_is_no_name_cannot_be_checked(value: Any) -> None:
    """Whatever an upstream may make of it."""
    assert "" in {named.model for named in beside({"model": "m", "models": value})}


def test_no_more_than_a_few_models_and_no_large_lists_are_looked_into() -> None:
    """Each named model is a question to a router."""
    assert len(beside({"model": "m", "models": [f"m{number}" for number in range(1000)]})) > MOST_NAMED
    assert beside({"model": "m", "models": ["x" * 1000] * 100}) == (Beside("models", ""),)
    assert beside({"model": "m", "plugins": [{}] * 5000}) == (Beside("plugins", ""),)
    deep: Any = {"model": "x"}
    for _ in range(50):
        deep = [deep]
    assert beside({"model": "m", "plugins": deep}) == (Beside("plugins", ""),)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["x-1", "x-2"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(sorted({name for path, _ in IN_GEMINI for name in path if name})) | st.text(max_size=6),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    ),
    st.sampled_from(["/v1/chat/completions", GENERATE]),
)
def test_whatever_a_body_holds_the_search_ends_and_lets_no_name_of_the_lists_slip(body: Any, path: str) -> None:
    """`models` and `fallbacks` at the top are seen whatever stands around them."""
    members = {**(body if isinstance(body, dict) else {"a": body}), "model": "m", "models": ["x-1"]}
    named = {(each.member, each.model) for each in beside(members, path)}
    assert ("models", "x-1") in named or len(named) > MOST_NAMED


@given(st.text(max_size=12))
def test_common_members_are_in_no_table_and_plain_names_are_stable(name: str) -> None:
    """The short way round the tables leads past none of them."""
    assert plain_name(plain_name(name)) == plain_name(name)
    assert not {plain_name(common) for common in COMMON} & (set(BODY) | set(GEMINI))


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_fields_of_forms_that_name_a_model_are_refused(name: str) -> None:
    """All but the one `model`, however it is spelled."""
    for spelled in {name, name.upper(), f"{name}[]"} - {"model"}:
        with pytest.raises(FormFault, match="cannot be checked"):
            parse(form("model", spelled), b"multipart/form-data; boundary=b")
    assert parse(form("model", "prompt", "language"), b"multipart/form-data; boundary=b").model == "m"


def form(*fields: str) -> bytes:
    """A form with these fields."""
    parts = [f'--b\r\ncontent-disposition: form-data; name="{name}"\r\n\r\nm\r\n' for name in fields]
    return "".join([*parts, "--b--\r\n"]).encode()


def test_a_body_without_other_models_is_read_once() -> None:
    """Nothing is looked for in what holds common members alone."""
    parsed = payload.parse(b'{"model":"m","messages":[{"role":"user","content":"model"}],"stream":true}')
    assert (parsed.model, parsed.stream, parsed.beside) == ("m", True, ())


def variants(count: int) -> bytes:
    """Members that the most lenient reader takes for `models`, each spelled in its own way."""
    spelled = (
        "".join(letter + "_" * (number >> place & 1) for place, letter in enumerate("models_____"))
        for number in range(count)
    )
    return b",".join(f'"{name}":0'.encode() for name in spelled)


@pytest.mark.parametrize(
    "members",
    [
        variants(2000),
        b'"x":"\\u0041",' + variants(2000),
        b'"x":"\\u0041","extra_body":{' + variants(2000) + b"}",
        b'"x":"\\u0041","provider":[' + b",".join([b"{" + variants(9) + b"}"] * 200) + b"]",
        b",".join(b'"a%d":0' % number for number in range(5000)),
    ],
    ids=["variants", "escaped", "nested", "items", "members"],
)
def test_a_body_costs_its_bytes_however_its_members_are_spelled(members: bytes) -> None:
    """Each spelling had the whole body looked through again, by a pattern of its own: twelve seconds for 64 KiB."""
    hostile = b'{"model":"m",' + members + b"}"
    plain = b'{"model":"m","messages":[' + b",".join([b'{"role":"user"}'] * (len(hostile) // 16)) + b"]}"
    assert not any(named.model for named in beside(hostile))  # refused, where there is more than can be looked into
    assert cpu_of(hostile) < 500 * cpu_of(plain)


def cpu_of(body: bytes) -> float:
    """CPU time that reading a body takes; the least of some."""

    def once() -> float:
        begun = time.process_time()
        beside(body)
        return time.process_time() - begun

    return max(20e-6, min(once() for _ in range(3)))
