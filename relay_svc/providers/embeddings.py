"""Embeddings between OpenAI's form and Gemini's, which are one operation in two.

    openai    {"model", "input": text or texts, "dimensions", "encoding_format"}  →  {"data": [{"index", "embedding"}]}
    gemini    {"content": {"parts": [{"text"}]}, "outputDimensionality"}          →  {"embedding": {"values"}}
              {"requests": [the same, each]}                                      →  {"embeddings": [{"values"}]}

The law: pure. Texts only: tokens are one model's own, and pictures have no place in OpenAI's form. A client that asked for
base64 gets it. Gemini counts no tokens here, so none are told. What is no request raises AdapterFault, an answer that is none
is a failure.
"""

import base64
import struct
from typing import Any, Final

import msgspec

from relay_svc.plan import Usage
from relay_svc.providers.faults import AdapterFault

_MOST: Final = 2048
"""Texts of one request, which is OpenAI's own bound."""


class Texts(msgspec.Struct, frozen=True):
    """What is to be embedded."""

    texts: tuple[str, ...]
    dimensions: int | None = None
    base64: bool = False
    lost: tuple[str, ...] = ()
    """Members that have no place in the other form."""


class Unreadable(ValueError):  # noqa: N818 - the upstream's fault, said as it is
    """An answer that tells no embeddings."""


def of_openai(body: bytes) -> Texts:
    """Read OpenAI's request. Raises AdapterFault."""
    asked = _members(body)
    given = asked.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise AdapterFault("input", "must be a text or texts for this upstream")
    encoding = asked.get("encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise AdapterFault("encoding_format", "must be float or base64")
    lost = sorted(asked.keys() - {"model", "input", "dimensions", "encoding_format", "user"})
    return _bounded(Texts(tuple(texts), _dimensions(asked, "dimensions"), encoding == "base64", tuple(lost)))


def of_gemini(body: bytes, *, batch: bool) -> Texts:
    """Read Gemini's request, of one text or of several. Raises AdapterFault."""
    asked = _members(body)
    requests = asked.get("requests") if batch else [asked]
    if not isinstance(requests, list) or not requests or not all(isinstance(each, dict) for each in requests):
        raise AdapterFault("requests", "must be a list of requests")
    dimensions = {_dimensions(each, "outputDimensionality") for each in requests}
    if len(dimensions) > 1:
        raise AdapterFault("outputDimensionality", "must be the same in all requests for this upstream")
    known = {"model", "content", "outputDimensionality"}
    lost = sorted({name for each in requests for name in each.keys() - known})
    return _bounded(Texts(tuple(map(_text, requests)), dimensions.pop(), lost=tuple(lost)))


def to_gemini(asked: Texts, model: str) -> bytes:
    """Write the request for Gemini's `batchEmbedContents`; `model` as its paths have it."""
    size = {} if asked.dimensions is None else {"outputDimensionality": asked.dimensions}
    each = [{"model": model, "content": {"parts": [{"text": text}]}} | size for text in asked.texts]
    return msgspec.json.encode({"requests": each})


def to_openai(asked: Texts, model: str) -> bytes:
    """Write the request for OpenAI's form."""
    size = {} if asked.dimensions is None else {"dimensions": asked.dimensions}
    return msgspec.json.encode({"model": model, "input": asked.texts, "encoding_format": "float"} | size)


def from_gemini(answer: bytes, asked: Texts, model: str) -> tuple[bytes, Usage | None]:
    """Write Gemini's answer as OpenAI's. Raises Unreadable."""
    said = _said(answer)
    vectors = [_vector(each, "values") for each in _listed(said.get("embeddings"), asked)]
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if asked.base64 else vector}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 0, "total_tokens": 0}
    return msgspec.json.encode({"object": "list", "data": data, "model": model, "usage": usage}), None


def from_openai(answer: bytes, asked: Texts, *, batch: bool) -> tuple[bytes, Usage | None]:
    """Write OpenAI's answer as Gemini's. Raises Unreadable."""
    said = _said(answer)
    data = _listed(said.get("data"), asked)
    shown = [{"values": _vector(each, "embedding")} for each in sorted(data, key=_index)]
    used = said.get("usage")
    tokens = used.get("prompt_tokens") if isinstance(used, dict) else None
    usage = Usage(tokens, 0) if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0 else None
    return msgspec.json.encode({"embeddings": shown} if batch else {"embedding": shown[0]}), usage


def _members(body: bytes) -> dict[str, Any]:
    try:
        members: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise AdapterFault("the body", f"is not valid JSON: {fault}") from None
    if not isinstance(members, dict):
        raise AdapterFault("the body", "must be a JSON object")
    return members


def _bounded(asked: Texts) -> Texts:
    if len(asked.texts) > _MOST:
        raise AdapterFault("input", f"holds more than {_MOST} texts")
    return asked


def _dimensions(members: dict[str, Any], name: str) -> int | None:
    value = members.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise AdapterFault(name, "must be a number above zero")
    return value


def _text(request: dict[str, Any]) -> str:
    content = request.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    texts = [part.get("text") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    if not texts or not isinstance(parts, list) or len(texts) != len(parts):
        raise AdapterFault("content", "must have parts of text")
    joined = [text for text in texts if isinstance(text, str)]
    if len(joined) != len(texts):
        raise AdapterFault("content", "must have parts of text for this upstream")
    return "\n".join(joined)


def _said(answer: bytes) -> dict[str, Any]:
    try:
        said: Any = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unreadable from None
    if not isinstance(said, dict):
        raise Unreadable
    return said


def _listed(value: object, asked: Texts) -> list[dict[str, Any]]:
    """Give an answer's entries: as many as there were texts."""
    if not isinstance(value, list) or len(value) != len(asked.texts):
        raise Unreadable
    entries = [each for each in value if isinstance(each, dict)]
    if len(entries) != len(value):
        raise Unreadable
    return entries


def _index(entry: dict[str, Any]) -> int:
    index = entry.get("index")
    return index if isinstance(index, int) else 0


def _vector(entry: dict[str, Any], name: str) -> list[float]:
    values = entry.get(name)
    if not isinstance(values, list) or not all(isinstance(value, int | float) for value in values):
        raise Unreadable
    return values


def _packed(vector: list[float]) -> str:
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except (OverflowError, struct.error):
        raise Unreadable from None
