"""Whether a candidate really forwards: its answers are the upstream's, and a wrong API key is refused where it knows keys."""

from __future__ import annotations

import dataclasses
import json

import httpx2

from bench.candidate import Candidate
from bench.canned import CHUNKS, WORDS
from bench.load import Post
from bench.peers.upstream import Upstream

_SECONDS = 30.0
_DONE = "data: [DONE]"


def verify(candidate: Candidate, upstream: Upstream) -> None:
    """Ask for a completion and a stream. Raises RuntimeError for any answer that is not the upstream's own."""
    before = upstream.served()
    whole = json.loads(_answer(candidate, candidate.post()))
    _expect(candidate, whole["choices"][0]["message"]["content"], "word " * WORDS)
    _expect(candidate, whole["usage"]["completion_tokens"], WORDS)
    _expect(candidate, _streamed(_answer(candidate, candidate.post(stream=True))), "word " * (CHUNKS - 1))
    _expect(candidate, upstream.served() - before, 2)
    if candidate.guarded:
        wrong = dataclasses.replace(candidate, headers={**candidate.headers, "authorization": "Bearer sk-wrong"})
        _expect(candidate, _ask(wrong.post()).status_code // 100, 4)


def _ask(post: Post) -> httpx2.Response:
    headers = {"content-type": "application/json", **post.headers}
    return httpx2.post(post.url, content=post.body, headers=headers, timeout=_SECONDS)


def _answer(candidate: Candidate, post: Post) -> str:
    answer = _ask(post)
    if answer.status_code != 200:
        raise RuntimeError(f"{candidate.name}: {answer.status_code} {answer.text[:300]}")
    return answer.text


def _streamed(text: str) -> str:
    """The words of a stream. An end without `[DONE]` is no end."""
    lines = [line for line in text.splitlines() if line.startswith("data: ")]
    if not lines or lines[-1] != _DONE:
        raise RuntimeError(f"a stream that ends with {lines[-1:]}")
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])


def _expect(candidate: Candidate, found: object, wanted: object) -> None:
    if found != wanted:
        raise RuntimeError(f"{candidate.name} does not forward: {str(found)[:200]!r} instead of {str(wanted)[:200]!r}")
