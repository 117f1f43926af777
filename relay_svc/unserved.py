"""Paths of providers' APIs that the relay does not serve yet, each with what the client is told.

The law: a table by a path's first two segments, so that a look-up costs the same whatever the path. Saying "not yet" in words
spares a client's author the search for a typing mistake.
"""

from collections.abc import Mapping, Sequence
from typing import Final

_STORED: Final = "stored responses are not served yet: the relay keeps none, so send the whole conversation each time"
_IMAGES: Final = "edits and variations of images are not served yet; /v1/images/generations is"
_REALTIME: Final = "the realtime API is not served yet: it needs a connection that stays with one upstream"
_FILES: Final = "files are not served yet: put their content into the request"
_BATCHES: Final = "batches are not served yet: send the requests one by one"
_ASSISTANTS: Final = "the assistants API is not served: it is retired in favour of /v1/responses"
_VERTEX: Final = "Vertex AI's paths are not served yet; /v1beta/models/{model}:generateContent is"
_BEDROCK: Final = "Bedrock's paths are not served yet; /v1/messages and /v1/chat/completions are"
_AZURE: Final = "Azure's paths are not served to clients; /v1/chat/completions is"

_BY_SECOND: Final[Mapping[bytes, Mapping[bytes, str]]] = {
    b"v1": {
        b"realtime": _REALTIME,
        b"responses": _STORED,
        b"conversations": _STORED,
        b"chat": "stored chat completions are not served yet; POST /v1/chat/completions is",
        b"images": _IMAGES,
        b"files": _FILES,
        b"uploads": _FILES,
        b"batches": _BATCHES,
        b"messages": "of these paths only /v1/messages and /v1/messages/count_tokens are served yet",
        b"assistants": _ASSISTANTS,
        b"threads": _ASSISTANTS,
        b"vector_stores": "vector stores are not served yet",
        b"fine_tuning": "fine-tuning is not served",
        b"videos": "videos are not served yet",
        b"evals": "evaluations are not served",
        b"projects": _VERTEX,
    },
    b"v1beta": {
        b"files": _FILES,
        b"cachedContents": "cached contents are not served yet: providers cache long prompts by themselves",
        b"tunedModels": "tuned models are not served yet",
        b"batches": _BATCHES,
        b"openai": "OpenAI's format is served at /v1/chat/completions",
    },
    b"upload": {b"v1beta": _FILES},
    b"ws": {b"google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent": _REALTIME},
}
_BY_FIRST: Final[Mapping[bytes, str]] = {
    b"v1beta1": _VERTEX,
    b"model": _BEDROCK,
    b"openai": _AZURE,
}


def sentence_for(parts: Sequence[bytes]) -> str:
    """Give the sentence for a path split at its slashes; empty when the path is none that is known."""
    if len(parts) < 3:  # noqa: PLR2004 - "", first, second
        return ""
    first, second = parts[1], parts[2]
    return _BY_FIRST.get(first, "") or _BY_SECOND.get(first, {}).get(second, "")
