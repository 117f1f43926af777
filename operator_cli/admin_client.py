"""The admin's HTTP face, as far as the demo needs it: find or make a channel and an API key.

Law: making is idempotent by what is already there, found by name; every change waits until all routers have it in force.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

import httpx2

from operator_cli.errors import DemoError
from trunkline.secret import Secret

_SECONDS = 15.0
_IN_FORCE = {"wait": "ALL", "wait_timeout": "5s"}


class AdminClient:
    """A client of one admin. Use it as an async context manager."""

    def __init__(self, url: str, token: Secret) -> None:
        self._http = httpx2.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {token.reveal()}"},
            timeout=_SECONDS,
            trust_env=False,  # a proxy of the operator's has no business on the loopback interface
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def find(self, collection: str, name: str) -> AsyncIterator[dict[str, Any]]:
        """Everything called `name` in `channels` or `api-keys`."""
        page_token = ""
        while True:
            answer = await self._call("GET", f"/api/v1/{collection}", query={"page_token": page_token})
            for item in answer[collection.replace("-", "_")]:
                if item["name"] == name:
                    yield item
            page_token = answer.get("next_page_token", "")
            if not page_token:
                return

    async def create(self, collection: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Make one; the answer is the whole response."""
        return await self._call("POST", f"/api/v1/{collection}", body=body, query=_IN_FORCE)

    async def update(self, collection: str, number: int, body: Mapping[str, object]) -> dict[str, Any]:
        """Change what `body` names; the answer is the whole response."""
        return await self._call("PATCH", f"/api/v1/{collection}/{number}", body=body, query=_IN_FORCE)

    async def _call(
        self, method: str, path: str, *, query: Mapping[str, str], body: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        try:
            response = await self._http.request(method, path, params=query, json=body)
            answer: dict[str, Any] = response.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise DemoError(f"the admin did not answer {method} {path}: {error!r}") from error
        if response.is_error:
            raise DemoError(f"the admin refused {method} {path} ({response.status_code}): {answer.get('message')}")
        return answer
