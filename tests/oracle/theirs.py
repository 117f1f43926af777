"""Another implementation's translations, run in a virtual environment of its own, which has its libraries and none of ours.

    in      {"answers": {dialect: {"whole": {…}, "stream": "…"}}, "jobs": [{"client", "upstream", "body", "stream"}, …]}
    out     a line a job: {"sent": what its upstream was asked, "told": what its client was told, "fault": why not}

Law: its public functions only. The upstream is a server of this process on the loopback address, which answers every request
in the format that its path is of, and keeps what it was asked.
"""

# ruff: noqa: T201 - its output is its answer

from __future__ import annotations

import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, ClassVar

import litellm
import tiktoken
from litellm.google_genai import generate_content, generate_content_stream
from litellm.llms.anthropic.experimental_pass_through.messages.handler import anthropic_messages_handler

# Its vocabulary would be downloaded; it counts tokens for what is not compared.
tiktoken.get_encoding = lambda _name: SimpleNamespace(encode=lambda text, **_: list(text))
litellm.drop_params = True
litellm.suppress_debug_info = True
litellm.telemetry = False

CHAT, RESPONSES, ANTHROPIC, GEMINI = "openai-chat", "openai-responses", "anthropic-messages", "gemini"


WORDS = {"/messages": ANTHROPIC, "/responses": RESPONSES, "generatecontent": GEMINI}


class Upstream(BaseHTTPRequestHandler):
    """Answers in the format that is asked for."""

    answers: ClassVar[dict[str, Any]] = {}
    asked: ClassVar[list[Any]] = []

    def do_POST(self) -> None:
        """Answer one request."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append(body)
        dialect = next((name for word, name in WORDS.items() if word in self.path.lower()), CHAT)
        streams = body.get("stream") is True or "streamGenerateContent" in self.path
        answer = self.answers[dialect]
        text = answer["stream"] if streams else json.dumps(answer["whole"])
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if streams else "application/json")
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


MODELS = {
    RESPONSES: "openai/responses/{responses}",
    # A server of chat alone: what is OpenAI's own would be asked for responses in their own format.
    CHAT: "hosted_vllm/{chat}",
    ANTHROPIC: "anthropic/{anthropic}",
    GEMINI: "gemini/{gemini}",
}
BASES = {CHAT: "/v1", RESPONSES: "/v1", ANTHROPIC: "", GEMINI: "/v1beta/models/m"}


def ask(job: dict[str, Any], url: str, names: dict[str, str]) -> Any:
    """Ask as the job says."""
    body, upstream = dict(job["body"]), job["upstream"]
    body.pop("model", None)
    given = {"model": MODELS[upstream].format(**names), "api_base": url + BASES[upstream], "api_key": "sk-x"}
    if job["stream"] and job["client"] != GEMINI:
        given["stream"] = True
    if job["client"] == CHAT:
        return litellm.completion(**given, **body)
    if job["client"] == RESPONSES:
        return litellm.responses(**given, **body)
    if job["client"] == ANTHROPIC:
        return anthropic_messages_handler(**given, **body, custom_llm_provider=None)
    # As its proxy calls it.
    call = generate_content_stream if job["stream"] else generate_content
    return call(**given, config=body.pop("generationConfig", {}), **body)


def plain(told: Any) -> Any:
    """Take an answer apart."""
    if isinstance(told, bytes | str):
        return told if isinstance(told, str) else told.decode()
    if hasattr(told, "model_dump"):
        return told.model_dump(mode="json", exclude_none=True)
    if isinstance(told, dict):
        return told
    if hasattr(told, "__aiter__") and not hasattr(told, "__next__"):
        return asyncio.run(_collected(told))
    return [plain(piece) for piece in told]


async def _collected(told: Any) -> list[Any]:
    return [plain(piece) async for piece in told]


def main() -> None:
    """Do every job."""
    task = json.load(sys.stdin)
    Upstream.answers = task["answers"]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    for job in task["jobs"]:
        Upstream.asked.clear()
        told, fault = None, ""
        try:
            told = plain(ask(job, url, task["models"]))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this job's
            fault = f"{type(error).__name__}: {error}"[:300]
        sent = Upstream.asked[0] if Upstream.asked else None
        print(json.dumps({"sent": sent, "told": told, "fault": fault}, default=plain), flush=True)
    server.shutdown()


if __name__ == "__main__":
    main()
