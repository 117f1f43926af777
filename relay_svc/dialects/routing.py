"""What routing needs to know of a request in any dialect, and how its upstream is addressed.

The law: pure, and the body stays the client's own: only `model`, credentials and `stream_options` are ever edited here.
"""

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qs, quote, unquote

import msgspec

from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import Dialect
from relay_svc.payload import Payload, PayloadFault, parse

_PATHS: Final = {
    "/v1/chat/completions": Dialect.OPENAI_CHAT,
    "/v1/responses": Dialect.OPENAI_RESPONSES,
    "/v1/messages": Dialect.ANTHROPIC,
}
# SDKs write the colon either way.
_GEMINI: Final = re.compile(
    r"/v1(?:alpha|beta)?/models/([^:]{1,256}?)(?::|%3[Aa])(generateContent|streamGenerateContent)"
)
_PROVIDERS: Final = {
    "anthropic": Dialect.ANTHROPIC,
    "google": Dialect.GEMINI,
    "gemini": Dialect.GEMINI,
    "google-gemini": Dialect.GEMINI,
}
_OPENAIS_OWN: Final = frozenset({"openai", "azure-openai"})
_ANTHROPIC_VERSION: Final = b"2023-06-01"


class Facts(NamedTuple):
    """What routing needs of a request. `payload` is None where the model stands in the path."""

    dialect: Dialect
    model: str
    stream: bool
    array: bool = False
    """Whether the stream is to be one JSON array."""
    payload: Payload | None = None


def dialect_of(path: str) -> Dialect | None:
    """Tell the dialect that is spoken at a path; None when there is none."""
    return _PATHS.get(path) or (Dialect.GEMINI if _GEMINI.fullmatch(path) else None)


def facts_of(path: str, query: str, body: bytes) -> Facts:
    """Read what routing needs of a request at a path that has a dialect. Raises DialectFault."""
    found = _GEMINI.fullmatch(path)
    if found:
        stream = found[2] == "streamGenerateContent"
        array = stream and parse_qs(query, max_num_fields=32).get("alt") != ["sse"]
        return Facts(Dialect.GEMINI, unquote(found[1]), stream, array)
    try:
        payload = parse(body)
    except PayloadFault as fault:
        raise DialectFault(fault.param or "", str(fault)) from None
    return Facts(_PATHS[path], payload.model, payload.stream, payload=payload)


def upstream_dialect(provider: str, client: Dialect) -> Dialect:
    """Choose the dialect in which a provider is spoken to: the client's own where the provider knows it."""
    if client is Dialect.OPENAI_RESPONSES and provider in _OPENAIS_OWN:
        return client
    return _PROVIDERS.get(provider, Dialect.OPENAI_CHAT)


def upstream_path(dialect: Dialect, model: str, *, stream: bool) -> str:
    """Give what follows an upstream's base URL."""
    if dialect is Dialect.OPENAI_CHAT:
        return "/chat/completions"
    if dialect is Dialect.OPENAI_RESPONSES:
        return "/responses"
    if dialect is Dialect.ANTHROPIC:
        return "/messages"
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/models/{quote(model, safe='')}:{verb}"


def upstream_headers(dialect: Dialect, key: str | None) -> list[tuple[bytes, bytes]]:
    """Give the headers by which an upstream knows the channel."""
    headers = [(b"anthropic-version", _ANTHROPIC_VERSION)] if dialect is Dialect.ANTHROPIC else []
    if key:
        if dialect is Dialect.ANTHROPIC:
            headers.append((b"x-api-key", key.encode()))
        elif dialect is Dialect.GEMINI:
            headers.append((b"x-goog-api-key", key.encode()))
        else:
            headers.append((b"authorization", b"Bearer " + key.encode()))
    return headers


class _Options(msgspec.Struct):
    stream_options: dict[str, msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET


_OPTIONS: Final = msgspec.json.Decoder(_Options)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ASKED: Final = b"true"


def ask_for_usage(body: bytes) -> tuple[bytes, bool]:
    """Make a streamed chat request ask for its tokens; tells whether the client had asked itself.

    A body without `stream_options` keeps all its bytes. Raises DialectFault.
    """
    try:
        options = _OPTIONS.decode(body).stream_options
        if options is msgspec.UNSET:
            whole = body.rstrip()
            comma = b"" if whole[1:-1].strip() == b"" else b","
            return whole[:-1] + comma + b'"stream_options":{"include_usage":true}}', False
        options = options or {}
        if bytes(options.get("include_usage", b"")).strip() == _ASKED:
            return body, True
        members = _MEMBERS.decode(body)
        options["include_usage"] = msgspec.Raw(_ASKED)
        members["stream_options"] = msgspec.Raw(msgspec.json.encode(options))
        return msgspec.json.encode(members), False
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise DialectFault("stream_options", "must be an object") from None
