"""Which requests the relay knows: one table from method and path to what is asked.

The law: pure, and a table. A path costs a bounded number of look-ups whatever it says, and no path raises: it is served,
known and not served yet, of another method, or unknown. A model named in a path is decoded once, strictly, and holds nothing
that a URL or a header could not carry. Nothing here shows a query, since a Gemini client may put its API key there.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qsl, unquote_to_bytes

from relay_svc.operations import Format, Operation
from relay_svc.unserved import sentence_for


class ModelIn(StrEnum):
    """Where a request names its model."""

    MEMBER = "member"
    """The member `model` of a JSON body."""
    PATH = "path"
    FIELD = "field"
    """The field `model` of a form."""
    NOWHERE = "nowhere"


class StreamBy(StrEnum):
    """How a request asks for a stream."""

    NEVER = "never"
    MEMBER = "member"
    """The member `stream` of a JSON body."""
    FIELD = "field"
    """The field `stream` of a form."""
    PATH = "path"
    """By the path itself; the query `alt=sse` asks for events instead of a JSON array."""


class Body(StrEnum):
    """What kind of body there is."""

    JSON = "json"
    MULTIPART = "multipart"
    NONE = "none"


class KeyIn(StrEnum):
    """Where an API key may be."""

    BEARER = "authorization"
    X_API_KEY = "x-api-key"
    X_GOOG_API_KEY = "x-goog-api-key"
    API_KEY = "api-key"
    """Where Azure's SDKs put it."""
    QUERY = "key"


CONVERSATION: Final = 32 << 20
"""Largest body of a conversation: its images and documents are within."""
LISTS: Final = 16 << 20
"""Largest body of texts alone, however many."""
TEXT: Final = 1 << 20
"""Largest body of one text."""
FORM: Final = 1 << 40
"""A form is not held: the setting alone bounds it."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One kind of request."""

    name: str
    """For logs and metrics: one of a closed set."""
    format: Format
    operation: Operation
    model_in: ModelIn = ModelIn.MEMBER
    stream_by: StreamBy = StreamBy.NEVER
    body: Body = Body.JSON
    keys: tuple[KeyIn, ...] = (KeyIn.BEARER, KeyIn.X_API_KEY, KeyIn.X_GOOG_API_KEY, KeyIn.API_KEY)
    """Where the API key may be; the first place that has one counts."""
    max_body_bytes: int = CONVERSATION
    """Largest body; a setting can only lower it."""


@dataclass(frozen=True, slots=True)
class Route:
    """A request that is served; `subject` is the model or the id that its path names."""

    endpoint: Endpoint
    subject: str = ""


@dataclass(frozen=True, slots=True)
class NotFound:
    """No such path."""


@dataclass(frozen=True, slots=True)
class NotServed:
    """A path that providers know and the relay does not serve yet; the sentence is for the client."""

    sentence: str


@dataclass(frozen=True, slots=True)
class MethodNotAllowed:
    """A path that takes other methods."""

    allowed: tuple[str, ...]


Found = Route | NotFound | NotServed | MethodNotAllowed

LONGEST_SUBJECT: Final = 256
"""Longest model taken from a path, in characters."""
LONGEST_RUN: Final = 512
"""Longest id of a run."""

_ANTHROPIC_KEYS: Final = (KeyIn.X_API_KEY, KeyIn.BEARER, KeyIn.API_KEY)
_GEMINI_KEYS: Final = (KeyIn.X_GOOG_API_KEY, KeyIn.QUERY, KeyIn.BEARER)
_ANY_KEYS: Final = (KeyIn.BEARER, KeyIn.X_API_KEY, KeyIn.X_GOOG_API_KEY, KeyIn.API_KEY, KeyIn.QUERY)


def _openai(operation: Operation, stream_by: StreamBy = StreamBy.NEVER, largest: int = LISTS) -> Endpoint:
    return Endpoint(f"openai-{operation}", Format.OPENAI, operation, stream_by=stream_by, max_body_bytes=largest)


def _form(operation: Operation, stream_by: StreamBy = StreamBy.NEVER) -> Endpoint:
    name = f"openai-{operation}"
    return Endpoint(name, Format.OPENAI, operation, ModelIn.FIELD, stream_by, body=Body.MULTIPART, max_body_bytes=FORM)


def _gemini(name: str, operation: Operation, stream_by: StreamBy = StreamBy.NEVER) -> Endpoint:
    return Endpoint(f"gemini-{name}", Format.GEMINI, operation, ModelIn.PATH, stream_by, keys=_GEMINI_KEYS)


def _listing(name: str, written: Format, model_in: ModelIn, keys: tuple[KeyIn, ...] = _ANY_KEYS) -> Endpoint:
    return Endpoint(name, written, Operation.MODELS, model_in, body=Body.NONE, keys=keys)


_MEMBER: Final = StreamBy.MEMBER
_POST: Final[Mapping[bytes, Endpoint]] = {
    b"/v1/chat/completions": Endpoint("openai-chat", Format.OPENAI_CHAT, Operation.CHAT, stream_by=_MEMBER),
    b"/v1/responses": Endpoint("openai-responses", Format.OPENAI_RESPONSES, Operation.RESPONSES, stream_by=_MEMBER),
    b"/v1/completions": _openai(Operation.COMPLETIONS, _MEMBER),
    b"/v1/embeddings": _openai(Operation.EMBED),
    b"/v1/images/generations": _openai(Operation.IMAGES, _MEMBER, CONVERSATION),
    b"/v1/audio/speech": _openai(Operation.SPEECH, largest=TEXT),
    b"/v1/audio/transcriptions": _form(Operation.TRANSCRIPTIONS, StreamBy.FIELD),
    b"/v1/audio/translations": _form(Operation.TRANSLATIONS),
    b"/v1/moderations": _openai(Operation.MODERATIONS, largest=CONVERSATION),
    b"/v1/rerank": Endpoint("rerank", Format.RERANK, Operation.RERANK, max_body_bytes=LISTS),
    b"/v1/messages": Endpoint(
        "anthropic-messages", Format.ANTHROPIC, Operation.MESSAGES, stream_by=_MEMBER, keys=_ANTHROPIC_KEYS
    ),
    b"/v1/messages/count_tokens": Endpoint(
        "anthropic-count_tokens", Format.ANTHROPIC, Operation.COUNT_TOKENS, keys=_ANTHROPIC_KEYS
    ),
}
_POSTED: Final = {path: Route(endpoint) for path, endpoint in _POST.items()}
"""The same, ready to be given."""
_GET: Final[Mapping[bytes, Endpoint]] = {
    b"/v1/models": _listing("models", Format.OPENAI, ModelIn.NOWHERE),
    b"/v1beta/models": _listing("gemini-models", Format.GEMINI, ModelIn.NOWHERE, _GEMINI_KEYS),
}
_ONE_MODEL: Final[Mapping[bytes, Endpoint]] = {
    b"v1": _listing("model", Format.OPENAI, ModelIn.PATH),
    b"v1beta": _listing("gemini-model", Format.GEMINI, ModelIn.PATH, _GEMINI_KEYS),
}
_GEMINI_METHODS: Final[Mapping[str, Endpoint]] = {
    "generateContent": _gemini("generate", Operation.GENERATE),
    "streamGenerateContent": _gemini("stream_generate", Operation.STREAM_GENERATE, StreamBy.PATH),
    "countTokens": _gemini("count_tokens", Operation.COUNT_TOKENS),
    "embedContent": _gemini("embed", Operation.EMBED),
    "batchEmbedContents": _gemini("batch_embed", Operation.BATCH_EMBED),
}
_RUN: Final = Endpoint("workflow-run", Format.OPENAI, Operation.RUN, ModelIn.NOWHERE, body=Body.NONE)
_RUNS: Final = b"/v1/workflows/runs/"

ENDPOINTS: Final = (*_POST.values(), *_GET.values(), *_ONE_MODEL.values(), *_GEMINI_METHODS.values(), _RUN)
"""Every endpoint, for tables of metrics and docs."""

_READS: Final = ("GET", "HEAD")
_WRITES: Final = ("POST",)


def match(method: str, path: bytes) -> Found:
    """Find what a request asks for; `path` is as it came, not decoded and without its query."""
    if (route := _POSTED.get(path)) is not None:
        return route if method in _WRITES else MethodNotAllowed(_WRITES)
    if (endpoint := _GET.get(path)) is not None:
        return Route(endpoint) if method in _READS else MethodNotAllowed(_READS)
    parts = path.split(b"/", 3)
    if len(parts) > 3 and parts[1] in _ONE_MODEL and parts[2] == b"models":  # noqa: PLR2004 - "", version, models, rest
        return _of_model(method, parts[1], parts[3])
    if path.startswith(_RUNS):
        return _of_run(method, path[len(_RUNS) :])
    sentence = sentence_for(parts)
    return NotServed(sentence) if sentence else NotFound()


def _of_model(method: str, version: bytes, rest: bytes) -> Found:
    subject = _decoded(rest)
    if subject is None:
        return NotFound()
    if method in _READS:
        return Route(_ONE_MODEL[version], subject)
    model, colon, verb = subject.rpartition(":")
    endpoint = _GEMINI_METHODS.get(verb)
    if not colon or endpoint is None:
        asks = verb.isalpha() and bool(colon)  # a name may hold colons too: `qwen:7b`
        return NotServed(f"the method {verb} is not served yet") if asks else MethodNotAllowed(_READS)
    if not model:
        return NotFound()
    return Route(endpoint, model) if method in _WRITES else MethodNotAllowed(_WRITES)


def _of_run(method: str, rest: bytes) -> Found:
    subject = _decoded(rest, LONGEST_RUN)
    if subject is None or "/" in subject:
        return NotFound()
    return Route(_RUN, subject) if method in _READS else MethodNotAllowed(_READS)


def _decoded(raw: bytes, longest: int = LONGEST_SUBJECT) -> str | None:
    """Decode a name in a path; None when it can be none."""
    if not raw or len(raw) > 3 * longest:
        return None
    try:
        name = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        return None
    steps = name.split("/")
    if len(name) > longest or not name.isprintable() or "." in steps or ".." in steps or "" in steps:
        return None
    return name


def spoken(endpoint: Endpoint, header: Callable[[bytes], bytes]) -> Format:
    """Tell in whose words to answer: `/v1/models` is OpenAI's, Anthropic's and Gemini's path, and their SDKs differ."""
    if endpoint.operation is not Operation.MODELS or endpoint.format is not Format.OPENAI:
        return endpoint.format
    if header(b"anthropic-version"):
        return Format.ANTHROPIC
    return Format.GEMINI if header(b"x-goog-api-key") else Format.OPENAI


def family_of(path: bytes) -> Format:
    """Tell in whose words to answer at a path that is none, or not whole: as its neighbours are answered."""
    if path.startswith((b"/v1beta", b"/v1alpha", b"/upload/", b"/ws/")) or (
        path.startswith(b"/v1/models/") and b":" in path
    ):
        return Format.GEMINI
    anthropics = path.startswith((b"/v1/messages", b"/anthropic/")) or path.endswith(
        (b"/v1/messages", b"/v1/messages/")
    )
    return Format.ANTHROPIC if anthropics else Format.OPENAI


def wants_events(query: bytes) -> bool:
    """Tell whether a Gemini stream is asked for as events (`alt=sse`); a JSON array otherwise."""
    return in_query(query, "alt") == "sse"


def find_key(endpoint: Endpoint, headers: Iterable[tuple[bytes, bytes]], query: bytes) -> str:
    """Take the API key out of a request; empty when there is none. Header names are in lower case."""
    given = dict(reversed(list(headers)))
    for place in endpoint.keys:
        key = in_query(query, "key") if place is KeyIn.QUERY else _in_header(given, place)
        if key:
            return key
    return ""


def _in_header(given: Mapping[bytes, bytes], place: KeyIn) -> str:
    value = given.get(place.encode(), b"").decode("latin-1").strip()
    if place is not KeyIn.BEARER:
        return value
    scheme, _, token = value.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


_MOST_QUERY: Final = 4096  # bytes looked at
_MOST_FIELDS: Final = 32


def in_query(query: bytes, name: str) -> str:
    """Give the first value of a name in a query; empty when there is none, or too much to look through."""
    if not query or len(query) > _MOST_QUERY or query.count(b"&") >= _MOST_FIELDS:
        return ""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, encoding="latin-1", separator="&")
    return next((value for key, value in pairs if key == name), "")
