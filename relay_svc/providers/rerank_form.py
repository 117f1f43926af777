"""The common form of rerank requests, and Cohere's.

    asked     {"model", "query", "documents": [text or {"text"}], "top_n", "return_documents", "max_tokens_per_doc"}
    answered  {"id", "model", "results": [{"index", "relevance_score", "document": {"text"}}], "usage": {"total_tokens"}}

The law: pure. Cohere's current API takes texts only and gives no documents back, so those are put into the answer from the
request. What is no request of this form raises AdapterFault; an answer that is none is passed on as it came.
"""

from typing import Any, Final

import msgspec

from relay_svc.providers.faults import AdapterFault

_CARRIED: Final = ("top_n", "max_tokens_per_doc", "priority")


class _Members(msgspec.Struct):
    query: str
    documents: list[Any]
    top_n: int | None = None
    return_documents: bool = False
    max_tokens_per_doc: int | None = None
    priority: int | None = None


class Rerank(msgspec.Struct, frozen=True):
    """A rerank request of the common form: its members as they came, and its documents as texts."""

    members: _Members
    texts: tuple[str, ...]


_DECODER: Final = msgspec.json.Decoder(_Members)


def read(body: bytes) -> Rerank:
    """Read a request. Raises AdapterFault."""
    try:
        members = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise AdapterFault("the body", f"is no rerank request: {fault}") from None
    return Rerank(members, tuple(_text(number, document) for number, document in enumerate(members.documents)))


def _text(number: int, document: object) -> str:
    if isinstance(document, str):
        return document
    if isinstance(document, dict) and isinstance(text := document.get("text"), str):
        return text
    raise AdapterFault(f"documents[{number}]", "must be a text, or an object with a text")


def to_cohere(asked: Rerank, model: str) -> bytes:
    """Write the request for Cohere."""
    body: dict[str, Any] = {"model": model, "query": asked.members.query, "documents": asked.texts}
    body.update({name: value for name in _CARRIED if (value := getattr(asked.members, name)) is not None})
    return msgspec.json.encode(body)


def from_cohere(answer: bytes, asked: Rerank, model: str) -> bytes:
    """Write Cohere's answer in the common form."""
    try:
        said: Any = msgspec.json.decode(answer)
        results = [_result(result, asked) for result in said["results"]]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, IndexError):
        return answer
    body = {"id": said.get("id", ""), "object": "list", "model": model, "results": results, "usage": _usage(said)}
    return msgspec.json.encode(body | ({"meta": said["meta"]} if "meta" in said else {}))


def _result(result: dict[str, Any], asked: Rerank) -> dict[str, Any]:
    shown = {"index": result["index"], "relevance_score": result["relevance_score"]}
    return shown | ({"document": {"text": asked.texts[result["index"]]}} if asked.members.return_documents else {})


def _usage(said: dict[str, Any]) -> dict[str, int]:
    meta = said.get("meta")
    tokens = meta.get("tokens") if isinstance(meta, dict) else None
    count = tokens.get("input_tokens") if isinstance(tokens, dict) else None
    total = int(count) if isinstance(count, int | float) and not isinstance(count, bool) else 0
    return {"prompt_tokens": total, "total_tokens": total}
