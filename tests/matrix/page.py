"""Writes `docs/compatibility.md` from the tables that the tests run: `python -m tests.matrix.page`.

Law: a cell says what a client gets, and its link names the test that shows it, as pytest does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.matrix import operations
from tests.matrix.clients import CLIENTS
from tests.matrix.kinds import FEATURES, KINDS, OWN, Kind

PAGE: Final = Path(__file__).parents[2] / "docs" / "compatibility.md"
_CONVERSATIONS: Final = (
    "tests/matrix/test_conversations.py",
    "test_a_client_is_served_by_any_upstream",
)
_OPERATIONS: Final = ("tests/matrix/test_operations.py", "test_a_request_goes_where_it_is_taken")
_MODELS: Final = "tests/matrix/test_models.py"
_RUNS: Final = "tests/integration/relay_svc/test_runs.py"
_REAL: Final = "tests/acceptance/test_sdks.py"

_ENDPOINTS: Final = {
    "openai-chat": ("`POST /v1/chat/completions`", ("openai-chat",), "the `openai` SDK's chat completions"),
    "openai-responses": ("`POST /v1/responses`", ("openai-responses",), "the `openai` SDK's responses"),
    "anthropic": ("`POST /v1/messages`", ("anthropic-messages",), "the `anthropic` SDK's messages"),
    "google": (
        "`POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`",
        ("gemini-generate", "gemini-stream_generate"),
        "the `google-genai` SDK's generate_content",
    ),
}
_HEADINGS: Final = (
    "text",
    "stream",
    "two calls",
    "two calls, streamed",
    "their results",
    "image",
    "structured",
    "error",
)
_NOTES: Final = {
    "openai-by-responses": "`openai`, option `api=responses`",
    "openrouter": "`openrouter`: compatible, and serving Anthropic's format and responses itself",
    "azure-openai": "`azure-openai`, `api_version=latest`",
    "azure-openai-dated": "`azure-openai`, `api_version=2024-10-21`",
}

HEAD: Final = """# Compatibility

<!-- Written by `python -m tests.matrix.page` from the tables of the tests in tests/matrix; change those. -->

What a client of each endpoint gets from each kind of upstream. The link of a cell names the test that shows it, made with
the official SDKs over real sockets; a test holds this page against the tests that there are. `make test` runs a selection in
which each two of client, upstream and feature meet, `make prove` the whole product; one cell alone:

    .venv/bin/python -m pytest --whole 'tests/matrix/test_conversations.py::NAME'
"""
_CELLS: Final = (
    ("as is", "The upstream speaks the client's format: its bytes pass, with the model and the credentials changed."),
    (
        "translated",
        "It speaks another: request, answer, stream and errors are translated, and nothing was lost on the way.",
    ),
    ("adapted", "It takes this in a form of its own: an adapter stands before it, behind a translation if need be."),
    (
        "lost: …",
        "The answer comes without it; `x-trunkline-lost` names it. To a strict caller it is 400 `CANNOT_CARRY`.",
    ),
    ("400 `…`", "The request is refused for this reason, in the client's own kind of error, before anything is sent."),
)
AFTER: Final = """
Upstreams here answer as the providers' API references say. Kinds with a ² are shown by an independent mock of the providers
too (`@copilotkit/aimock`), which reads and answers in its own way. [Dialects](dialects.md) lists what is carried besides.
"""
_LLAMA: Final = """## A real LLM server

llama.cpp serves OpenAI's chat and responses and Anthropic's messages itself. Through `trunkline up`, every client of these
endpoints, Gemini's included, is answered by it in each of the three, whole and streamed.
"""


def page() -> str:
    """Give the page."""
    cells = _table(("cell", "what it means"), _CELLS)
    parts = [HEAD, cells, AFTER, *map(_conversations, CLIENTS), _LLAMA, _real(), _others(), _without_upstream()]
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def _link(text: str, file: str, test: str) -> str:
    return f'[{text}](../{file} "{file}::{test}")'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _conversations(client: str) -> str:
    title, names, sdk = _ENDPOINTS[client]
    rows = [
        [_name_of(kind), *(_cell(client, kind, feature) for feature in FEATURES)] for kind in KINDS if not kind.mock
    ]
    said = ", ".join(f"`{name}`" for name in names)
    return f"## {title}\n\nIn metrics {said}; asked by {sdk}.\n\n" + _table(("upstream", *_HEADINGS), rows)


def _name_of(kind: Kind) -> str:
    mocked = any(
        other.mock and (other.provider, other.dialect, other.options) == (kind.provider, kind.dialect, kind.options)
        for other in KINDS
    )
    return _NOTES.get(kind.name, f"`{kind.name}`") + " ²" * mocked


def _cell(client: str, kind: Kind, feature: str) -> str:
    file, test = _CONVERSATIONS
    return _link(_fate(client, kind, feature), file, f"{test}[{client}-on-{kind.name}-{feature}]")


def _fate(client: str, kind: Kind, feature: str) -> str:
    if client not in kind.clients:
        return "400 `OPERATION_NOT_OFFERED`"
    fate = kind.fate(client, feature)
    if fate == "refused":
        return "400 `INVALID_BODY`"
    if fate == "lost":
        return "lost: " + {"results": "messages, tools", "image": "messages", "structured": "response_format"}.get(
            feature, "tools"
        )
    spoken = kind.spoken_to(client)
    if spoken is None:
        return "adapted"
    return "as is" if spoken is OWN[client] else "translated"


def _real() -> str:
    answers = _link("each client by each format", _REAL, "test_a_model_answers_every_client_in_each_of_its_formats")
    schema = _link("each client by chat", _REAL, "test_a_schema_is_kept_to")
    tools = _link("taken", _REAL, "test_tools_are_taken_and_need_not_be_called")
    error = _link("each client by each format", _REAL, "test_what_the_server_refuses_is_an_exception_of_the_sdks_own")
    rows = [
        ("text, stream", answers),
        (
            "structured",
            f"{schema}: its other formats do not enforce a schema, so provider `llama-cpp` is asked for chat",
        ),
        ("tools", f"{tools}; the model of the demo is too small to call one"),
        ("error", error),
    ]
    return _table(("feature", "result"), rows)


def _others() -> str:
    def rows() -> Iterator[list[str]]:
        file, test = _OPERATIONS
        for endpoint, (path, _) in operations.REQUESTS.items():
            shown = path.replace("/m:", "/{model}:")
            cells = [
                _link(_WORDS[operations.fate(endpoint, provider)], file, f"{test}[{endpoint}-on-{provider}]")
                for provider in operations.PROVIDERS
            ]
            yield [f"`POST {shown}` `{endpoint}`", *cells]

    return (
        "## Everything else\n\nEach with its errors. – is 400 `OPERATION_NOT_OFFERED`. Vendors that are known not to have an "
        "operation (`relay_svc/providers/vendors.py`; known by provider, option `vendor` or host) refuse it likewise.\n\n"
        + _table(("endpoint", *(f"`{provider}`" for provider in operations.PROVIDERS)), rows())
    )


_WORDS: Final = {"as it is": "as is", "written anew": "adapted", "refused": "–"}


def _without_upstream() -> str:
    of_openai = _link("OpenAI's shape", _MODELS, "test_openais_sdk_lists_models_and_finds_one")
    of_anthropic = _link("Anthropic's", _MODELS, "test_anthropics_sdk_lists_models_and_finds_one")
    of_google = _link("Google's", _MODELS, "test_googles_sdk_lists_models_and_finds_one")
    state = _link("its state", _RUNS, "test_any_relay_tells_of_a_run_and_only_its_channel_is_asked")
    unknown = _link("404 `RUN_UNKNOWN`", _RUNS, "test_a_run_is_nobody_elses")
    unsigned = _link("starts none", _RUNS, "test_the_secret_can_be_replaced_while_runs_go_on")
    rows = [
        [
            "`GET /v1/models` `models`, `GET /v1/models/{model}` `model`",
            f"{of_openai}, or {of_anthropic}, as its SDK asks",
        ],
        ["`GET /v1beta/models` `gemini-models`, `GET /v1beta/models/{model}` `gemini-model`", of_google],
        [
            "`GET /v1/workflows/runs/{execute_id}` `workflow-run`",
            f"{state}, to whoever started it; to others {unknown}. A relay without `TRUNKLINE_RELAY_RUN_SECRET` {unsigned}",
        ],
    ]
    return "## Asked of routers, or about a run\n\n" + _table(("endpoint", "result"), rows)


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"wrote {PAGE.name}\n")
