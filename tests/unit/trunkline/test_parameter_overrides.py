"""Overrides of a request's body: what may be written, and what comes of it."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.parameter_overrides import (
    DEEPEST,
    LONGEST,
    MOST_OPERATIONS,
    NO_OVERRIDES,
    Overrides,
    OverridesFault,
    faults_of,
    parse,
)

DOCUMENT: dict[str, Any] = {
    "model": "m",
    "max_tokens": 5,
    "stop": ["a", "b"],
    "messages": [{"role": "user", "content": "hi"}],
    "nothing": None,
    "metadata": {"x.y": 1, "deep": {"er": True}},
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
STEPS = st.sampled_from(["a", "b", "0", "1", "2", "x", "max_tokens"])
PATHS = st.lists(STEPS, min_size=1, max_size=4).map(".".join)
PLACES = st.lists(STEPS, min_size=1, max_size=3).map(".".join)
TREES = st.recursive(
    st.none() | st.integers(0, 3) | st.just("s"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STEPS, inner, max_size=3),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(STEPS, TREES, max_size=5).map(lambda document: {"model": "m", "stream": True} | document)
OPERATIONS = st.one_of(
    st.fixed_dictionaries({"op": st.sampled_from(["set", "default"]), "path": PATHS, "value": TREES}),
    st.fixed_dictionaries({"op": st.just("delete"), "path": PATHS}),
    st.fixed_dictionaries({"op": st.just("rename"), "path": PATHS, "to": PLACES}),
)


def applied(*operations: Any, document: dict[str, Any] = DOCUMENT, model: str = "m", path: str = "/v1") -> Any:
    """The document as these operations make it."""
    return parse(json.dumps(operations)).apply(document, model, path)


def at_fault(value: Any) -> list[tuple[int | None, str | None]]:
    """Where overrides are at fault."""
    return [(fault.index, fault.member) for fault in faults_of(value)]


def test_an_object_sets_members_of_the_top() -> None:
    """As it always did: a dot in a name is a dot."""
    overrides = parse('{"max_tokens": 9, "a.b": 1, "0": [2]}')
    assert overrides.apply(DOCUMENT, "m", "/v1") == DOCUMENT | {"max_tokens": 9, "a.b": 1, "0": [2]}


@pytest.mark.parametrize("text", ["", " ", "null", "{}", "[]", b"{ }"])
def test_nothing_is_no_override(text: str | bytes) -> None:
    """And gives the document back as it is."""
    overrides = parse(text)
    assert overrides == NO_OVERRIDES
    assert not overrides
    assert overrides.touches_nothing("m", "/v1")
    assert overrides.apply(DOCUMENT, "m", "/v1") is DOCUMENT


@pytest.mark.parametrize(
    ("operation", "changed"),
    [
        ({"op": "set", "path": "max_tokens", "value": 9}, {"max_tokens": 9}),
        ({"op": "set", "path": "stop.1", "value": "c"}, {"stop": ["a", "c"]}),
        ({"op": "set", "path": "stop.2", "value": "c"}, {"stop": ["a", "b", "c"]}),
        ({"op": "set", "path": "stop.3", "value": "c"}, {}),
        ({"op": "set", "path": "stop.x", "value": "c"}, {}),
        ({"op": "set", "path": "stop.٣", "value": "c"}, {}),
        ({"op": "set", "path": "max_tokens.x", "value": 1}, {}),
        ({"op": "set", "path": "nothing.x", "value": 1}, {"nothing": {"x": 1}}),
        ({"op": "set", "path": "new.0.er", "value": 1}, {"new": {"0": {"er": 1}}}),
        ({"op": "set", "path": "metadata.x\\.y", "value": 2}, {"metadata": {"x.y": 2, "deep": {"er": True}}}),
        ({"op": "set", "path": "a\\\\b", "value": 2}, {"a\\b": 2}),
        ({"op": "default", "path": "max_tokens", "value": 9}, {}),
        ({"op": "default", "path": "nothing", "value": 9}, {"nothing": 9}),
        (
            {"op": "default", "path": "messages.0.name", "value": "n"},
            {"messages": [DOCUMENT["messages"][0] | {"name": "n"}]},
        ),
        ({"op": "default", "path": "metadata.deep.er", "value": 1}, {}),
        ({"op": "delete", "path": "stop.0"}, {"stop": ["b"]}),
        ({"op": "delete", "path": "stop.2"}, {}),
        ({"op": "delete", "path": "metadata.deep.er"}, {"metadata": {"x.y": 1, "deep": {}}}),
        ({"op": "delete", "path": "absent.x"}, {}),
        ({"op": "rename", "path": "absent", "to": "other"}, {}),
        ({"op": "rename", "path": "metadata.deep", "to": "stop.0.x"}, {}),
    ],
)
def test_each_operation_does_what_it_says_and_no_more(operation: Any, changed: dict[str, Any]) -> None:
    """Where a path leads nowhere, the document is passed over."""
    assert applied(operation) == DOCUMENT | changed


def test_what_is_renamed_is_found_under_the_new_name_only() -> None:
    """It may move into another object; what stands at the new place already was meant, and wins."""
    moved = applied({"op": "rename", "path": "max_tokens", "to": "limits.max_completion_tokens"})
    assert "max_tokens" not in moved
    assert moved["limits"] == {"max_completion_tokens": 5}
    kept = applied({"op": "rename", "path": "max_tokens", "to": "stop"})
    assert kept == {name: value for name, value in DOCUMENT.items() if name != "max_tokens"}
    over_null = applied({"op": "rename", "path": "max_tokens", "to": "nothing"})
    assert over_null["nothing"] == 5


def test_operations_see_what_those_before_them_did() -> None:
    """They are carried out in their order."""
    changed = applied(
        {"op": "delete", "path": "stop.0"},
        {"op": "set", "path": "stop.1", "value": "c"},
        {"op": "rename", "path": "stop.0", "to": "first"},
    )
    assert (changed["stop"], changed["first"]) == (["c"], "b")


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ({"model": "gpt-4*"}, True),
        ({"model": "gpt-4"}, False),
        ({"model": ["x", "gpt-4o"]}, True),
        ({"model": "*"}, True),
        ({"path": "/v1/chat/completions"}, True),
        ({"path": ["/v1/embeddings", "/v1/resp*"]}, False),
        ({"model": "gpt-4*", "path": "/v1/embeddings"}, False),
        ({"model": "gpt-4*", "path": "/v1/*"}, True),
    ],
)
def test_an_operation_is_for_the_requests_that_it_names(when: Any, *, holds: bool) -> None:
    """Every condition given must hold; within one, any pattern."""
    overrides = parse(json.dumps([{"op": "delete", "path": "max_tokens", "when": when}]))
    assert overrides.touches_nothing("gpt-4o", "/v1/chat/completions") is not holds
    changed = overrides.apply(DOCUMENT, "gpt-4o", "/v1/chat/completions")
    assert ("max_tokens" not in changed) is holds
    assert (changed is DOCUMENT) is not holds


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        (3, [None]),
        ({}, ["op", "path"]),
        ({"op": "add", "path": "a"}, ["op"]),
        ({"op": ["set"], "path": "a"}, ["op"]),
        ({"op": "set", "path": "a"}, ["value"]),
        ({"op": "set", "path": "a", "value": 1, "to": "b"}, ["to"]),
        ({"op": "delete", "path": "a", "value": 1}, ["value"]),
        ({"op": "rename", "path": "a"}, ["to"]),
        ({"op": "rename", "path": "a", "to": "a"}, ["to"]),
        ({"op": "rename", "path": "a", "to": "a.b"}, ["to"]),
        ({"op": "rename", "path": "a.b", "to": "a"}, ["to"]),
        ({"op": "rename", "path": "a", "to": "model"}, ["to"]),
        ({"op": "delete", "path": "a", "why": 1}, [None]),
        ({"op": "delete", "path": ""}, ["path"]),
        ({"op": "delete", "path": "a..b"}, ["path"]),
        ({"op": "delete", "path": "a\\b"}, ["path"]),
        ({"op": "delete", "path": "a\\"}, ["path"]),
        ({"op": "delete", "path": ".".join("a" * (DEEPEST + 1))}, ["path"]),
        ({"op": "delete", "path": "a" * 1000}, ["path"]),
        ({"op": "set", "path": "model", "value": "x"}, ["path"]),
        ({"op": "default", "path": "Model", "value": "x"}, ["path"]),
        ({"op": "rename", "path": "model", "to": "x"}, ["path"]),
        ({"op": "set", "path": "stream", "value": True}, ["path"]),
        ({"op": "set", "path": "model.x", "value": 1}, ["path"]),
        ({"op": "delete", "path": "a", "when": {}}, ["when"]),
        ({"op": "delete", "path": "a", "when": 1}, ["when"]),
        ({"op": "delete", "path": "a", "when": {"group": "vip"}}, ["when"]),
        ({"op": "delete", "path": "a", "when": {"model": []}}, ["when.model"]),
        ({"op": "delete", "path": "a", "when": {"model": "g*t"}}, ["when.model"]),
        ({"op": "delete", "path": "a", "when": {"model": "", "path": [1]}}, ["when.model", "when.path"]),
        ({"op": "delete", "path": "a", "when": {"path": ["x"] * 100}}, ["when.path"]),
    ],
)
def test_every_fault_names_its_operation_and_member(operation: Any, members: list[str | None]) -> None:
    """All of them at once; reading raises the first."""
    sound = {"op": "delete", "path": "a"}
    assert at_fault([sound, operation]) == [(1, member) for member in members]
    with pytest.raises(OverridesFault) as caught:
        parse(json.dumps([sound, operation]))
    assert (caught.value.index, caught.value.member) == (1, members[0])
    assert "operation 1" in str(caught.value)


@pytest.mark.parametrize("value", [3, "text", True])
def test_what_is_neither_object_nor_list_is_a_fault_of_the_whole(value: Any) -> None:
    """Other JSON is no override."""
    assert at_fault(value) == [(None, None)]


@pytest.mark.parametrize("text", ["{", "[1", "NaN", "\ud800", "[" * 100_000, "x" * (LONGEST + 1)])
def test_text_that_cannot_be_read_is_a_fault_of_the_whole(text: str) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(OverridesFault) as caught:
        parse(text)
    assert (caught.value.index, caught.value.member) == (None, None)


def test_routing_is_out_of_reach_of_an_object_too() -> None:
    """In every spelling that an upstream might take for it."""
    assert at_fault({"model": "x", "Stream": True, "": 1, "temperature": 0}) == [
        (None, "model"),
        (None, "Stream"),
        (None, ""),
    ]


def test_everything_is_bounded() -> None:
    """Many operations, many members, and deep values."""
    deep: Any = 1
    for _ in range(DEEPEST):
        deep = [deep]
    operation = {"op": "delete", "path": "a"}
    assert at_fault([operation] * MOST_OPERATIONS) == []
    assert at_fault([operation] * (MOST_OPERATIONS + 1)) == [(None, None)]
    assert at_fault({str(number): 1 for number in range(MOST_OPERATIONS + 1)}) == [(None, None)]
    assert at_fault([{"op": "set", "path": "a", "value": deep}]) == [(0, "value")]
    assert at_fault([{"op": "set", "path": "a", "value": deep[0]}]) == []
    assert at_fault({"a": deep}) == [(None, "a")]


def test_no_fault_shows_a_value() -> None:
    """A value may be a secret."""
    written = [{"op": "s3cret", "path": "s3cret..", "value": "s3cret", "when": {"model": "s3cret*x"}}, {"s3cret": 1}]
    assert len(faults_of(written)) >= 5
    assert not any("s3cret" in str(fault) for fault in faults_of(written))


@given(OPERATIONS, DOCUMENTS)
def test_no_operation_changes_what_was_given_or_reaches_the_routing(operation: Any, document: dict[str, Any]) -> None:
    """Documents are shared by attempts: the next one starts from the client's own."""
    if faults_of([operation]):
        return
    before = copy.deepcopy(document)
    changed = applied(operation, document=document)
    assert document == before
    assert (changed["model"], changed["stream"]) == ("m", True)


@given(st.lists(OPERATIONS, max_size=4), DOCUMENTS)
def test_members_kept_raw_come_to_the_same(operations: list[Any], document: dict[str, Any]) -> None:
    """What no path leads into need not be read."""
    if faults_of(operations):
        return
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in document.items()}
    assert msgspec.json.decode(msgspec.json.encode(applied(*operations, document=raw))) == applied(
        *operations, document=document
    )


@given(st.sampled_from(["set", "default", "delete"]), PATHS, TREES, DOCUMENTS)
def test_to_do_it_twice_is_to_do_it_once(kind: str, path: str, value: Any, document: dict[str, Any]) -> None:
    """But for positions in lists, which move: appending appends again, and so does deleting delete."""
    if any(step.isdigit() for step in path.split(".")):
        return
    operation = {"op": kind, "path": path} | ({} if kind == "delete" else {"value": value})
    once = applied(operation, document=document)
    assert applied(operation, document=once) == once


@given(PATHS, PLACES, DOCUMENTS)
def test_a_rename_loses_nothing_but_to_what_is_there(source: str, target: str, document: dict[str, Any]) -> None:
    """The value is at the old place, or at the new one, or something else was at the new one before."""
    operation = {"op": "rename", "path": source, "to": target}
    if faults_of([operation]):
        return
    value = lookup(document, source)
    there = lookup(document, target)
    changed = applied(operation, document=document)
    if value is MISSING:
        assert changed == document
    elif there is not MISSING and there is not None:
        assert len(json.dumps(changed)) < len(json.dumps(document))
    elif changed != document:
        assert json.dumps(value) in json.dumps(changed)


@given(VALUES)
def test_whatever_is_written_is_read_or_is_at_fault(value: Any) -> None:
    """Checking and reading never disagree, and neither fails in another way."""
    faults = faults_of(value)
    if faults:
        with pytest.raises(OverridesFault) as caught:
            parse(json.dumps(value))
        assert str(caught.value) == str(faults[0])
    else:
        assert isinstance(parse(json.dumps(value)), Overrides)


MISSING = object()


def lookup(document: Any, path: str) -> Any:
    """What is at a path without escapes."""
    for step in path.split("."):
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list) and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        else:
            return MISSING
    return document
