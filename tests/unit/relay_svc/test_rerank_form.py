"""Rerank requests of the common form, and Cohere's."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.providers.faults import AdapterFault
from relay_svc.providers.rerank_form import from_cohere, read, to_cohere

REQUEST = {
    "model": "client-name",
    "query": "q",
    "documents": ["a", {"text": "b", "title": "t"}],
    "top_n": 1,
    "return_documents": True,
}


def test_a_request_for_cohere_holds_texts_and_the_upstreams_model() -> None:
    """Objects become their text; what only the common form knows is left out."""
    sent = json.loads(to_cohere(read(json.dumps(REQUEST).encode()), "rerank-v3.5"))
    assert sent == {"model": "rerank-v3.5", "query": "q", "documents": ["a", "b"], "top_n": 1}


def test_coheres_answer_gets_the_documents_and_the_usage_of_the_common_form() -> None:
    """Cohere's current API gives no documents back."""
    said = {
        "id": "i",
        "results": [{"index": 1, "relevance_score": 0.9}],
        "meta": {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 12.0}},
    }
    asked = read(json.dumps(REQUEST).encode())
    shown = json.loads(from_cohere(json.dumps(said).encode(), asked, "client-name"))
    assert shown["results"] == [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}]
    assert shown["usage"] == {"prompt_tokens": 12, "total_tokens": 12}
    assert shown["model"] == "client-name"
    asked = read(json.dumps({**REQUEST, "return_documents": False}).encode())
    assert "document" not in json.loads(from_cohere(json.dumps(said).encode(), asked, "m"))["results"][0]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"query":1,"documents":[]}', b'{"query":"q","documents":[1]}', b"[" * 9999]
)
def test_what_is_no_rerank_request_is_a_fault_of_its_own_kind(body: bytes) -> None:
    """With the member at fault."""
    with pytest.raises(AdapterFault) as fault:
        read(body)
    assert fault.value.path


@given(
    st.binary(max_size=60) | st.sampled_from([b'{"results":[{}]}', b'{"results":[{"index":9,"relevance_score":1}]}'])
)
def test_an_answer_that_is_none_passes_as_it_came(answer: bytes) -> None:
    """An upstream may say anything."""
    from_cohere(answer, read(json.dumps(REQUEST).encode()), "m")
