"""What is measured: a program between clients and the canned upstream, all of its processes, and how to ask it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from bench.load import Post

Parts = Mapping[str, list[int]]
MESSAGE_BYTES = 900  # makes a request of about 1 KB


@dataclass(frozen=True, slots=True)
class Candidate:
    """One program as it runs."""

    name: str
    version: str
    url: str
    parts: Callable[[], Parts]  # its processes now, by part; together all of them
    headers: Mapping[str, str] = field(default_factory=dict)
    model: str = "canned"
    guarded: bool = False  # refuses a wrong API key

    def post(self, *, stream: bool = False, message_bytes: int = MESSAGE_BYTES) -> Post:
        """A chat completion request. `stream` comes first, so that it is in the first packet of a large one."""
        asked = {"stream": True} if stream else {}
        body = {"model": self.model, **asked, "messages": [{"role": "user", "content": "x" * message_bytes}]}
        return Post(self.url, self.headers, json.dumps(body, separators=(",", ":")).encode())

    def asking(self, path: str) -> Candidate:
        """For a proxy that passes paths on: the same, asking the upstream for something else (see `bench.canned`)."""
        start = self.url.removesuffix("/v1/chat/completions")
        return replace(self, url=f"{start}{path}/chat/completions")


class NotHere(Exception):  # noqa: N818 - a fact about this machine, not a fault
    """A candidate cannot run here; says why."""
