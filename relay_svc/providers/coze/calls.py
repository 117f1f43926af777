"""How Coze is asked: bots, workflows, and workflows that run on after the answer.

The law: pure. A bot is a number, given by the option `bot_id` or as the upstream's model. A workflow's number is found when
the body is read (see `workflow`), since a client may name it there.
"""

from collections.abc import Mapping
from typing import Final

from relay_svc.operations import Format, Operation
from relay_svc.providers.call import (
    Adapter,
    Answer,
    Asked,
    Call,
    NotOffered,
    Target,
    asks_for_generation,
    bearer,
    rooted,
    segment,
)

INTERNATIONAL: Final = "https://api.coze.com"
CHINA: Final = "https://api.coze.cn"
_ENDINGS: Final = ("/v3", "/v1", "/open_api")


def chat(target: Target, asked: Asked) -> Answer:
    """Ask a bot. It is always asked for a stream: whole answers of Coze's have to be fetched by polling."""
    if not asks_for_generation(asked):
        return NotOffered(target.provider, asked.operation)
    return _call(target, "/v3/chat", Adapter.COZE_CHAT, events=True)


def bot_of(target: Target) -> str:
    """Tell which bot a channel asks."""
    return target.options.get("bot_id") or target.model


def workflow(target: Target, asked: Asked) -> Answer:
    """Run a workflow; only a chat request can name its parameters."""
    if asked.format is not Format.OPENAI_CHAT:
        return NotOffered(target.provider, asked.operation)
    path = "/v1/workflow/stream_run" if asked.stream else "/v1/workflow/run"
    return _call(target, path, Adapter.COZE_WORKFLOW, events=asked.stream)


def workflow_async(target: Target, asked: Asked) -> Answer:
    """Start a workflow that runs on by itself."""
    if asked.format is not Format.OPENAI_CHAT:
        return NotOffered(target.provider, asked.operation)
    return _call(target, "/v1/workflow/run", Adapter.COZE_WORKFLOW_ASYNC, events=False)


def history(target: Target, workflow_id: str, execute_id: str) -> Call | None:
    """Ask how a run fares; None when its ids can be no part of a URL."""
    run, execution = segment(workflow_id), segment(execute_id)
    if run is None or execution is None:
        return None
    url = rooted(target.base_url or INTERNATIONAL, f"/v1/workflows/{run}/run_histories/{execution}", *_ENDINGS)
    return Call(url, Operation.RUN, Format.OPENAI, bearer(target.key), method="GET")


def missing_for_run(target: Target, workflow_id: str) -> tuple[str, ...]:
    """Name everything that a run would lack: it is checked before one starts, since afterwards nobody waits for it."""
    needed: Mapping[str, bool] = {
        "workflow_id": workflow_id.isascii() and workflow_id.isdigit(),
        "base_url": target.base_url.startswith(("https://", "http://")),
        "key": bool(target.key),
    }
    return tuple(name for name, there in needed.items() if not there)


def _call(target: Target, path: str, adapter: Adapter, *, events: bool) -> Call:
    return Call(
        rooted(target.base_url or INTERNATIONAL, path, *_ENDINGS),
        Operation.CHAT,
        Format.OPENAI_CHAT,
        bearer(target.key),
        model=target.model,
        events=events,
        adapter=adapter,
    )
