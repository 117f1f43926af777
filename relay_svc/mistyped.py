"""What a path that is none was meant to be, and which base URL says it right.

Law: pure, and bounded: a few look-ups, whatever the path. SDKs put the rest of a path behind their base URL, so nearly
every path that is none is a base URL with too much or too little of it. A model's name is kept as it is written.
"""

from typing import Final

from relay_svc.endpoints import Route, match

_LONGEST: Final = 512
_MOST_PARTS: Final = 12
_LEADING: Final = frozenset(
    {
        b"v1",
        b"v1beta",
        b"v1alpha",
        b"v2",
        b"api",
        b"openai",
        b"anthropic",
        b"claude",
        b"gemini",
        b"google",
        b"proxy",
        b"llm",
    }
)
"""Words that base URLs of other gateways and of SDKs put before a path."""
_SINGULAR: Final = {
    b"completion": b"completions",
    b"message": b"messages",
    b"response": b"responses",
    b"embedding": b"embeddings",
    b"model": b"models",
    b"moderation": b"moderations",
    b"image": b"images",
}
_BASES: Final = (
    "OpenAI's SDKs take a base URL that ends in /v1, Anthropic's and Google's one that ends in the host and its port"
)


def meant(path: bytes) -> str:
    """Give the path that was meant; empty when nobody can tell."""
    parts = [part for part in path.split(b"/") if part]
    if len(path) > _LONGEST or len(parts) > _MOST_PARTS:
        return ""
    first = next((place for place, part in enumerate(parts) if part.lower() not in _LEADING), len(parts))
    rest = parts[first:]
    if rest[:1] == [b"models"] and b":" in rest[-1]:
        version, methods = b"v1beta", ["POST"]
    else:
        version, methods, rest = b"v1", ["POST", "GET"], [_SINGULAR.get(part.lower(), part.lower()) for part in rest]
    right = b"/".join((b"", version, *rest))
    known = right != path and any(isinstance(match(method, right), Route) for method in methods)
    return right.decode("latin-1") if known else ""


def sentence_for(path: bytes) -> str:
    """Say what was meant and how to write it; empty when nobody can tell."""
    right = meant(path)
    return f"; {right[:128]} is meant, perhaps: {_BASES}" if right else ""
