"""A chat request as a workflow's run, and what the run gives.

The law: pure. The workflow is the upstream's model where that is a number: then the model decides what may be run, and a
request that names another is refused. Elsewhere the request's `workflow_id` decides, and last the channel's option.
Parameters are the request's `workflow_parameters`, or what the user said last, as `input`.
"""

from typing import Any, Final

import msgspec

from relay_svc.plan import Usage
from relay_svc.providers.call import Target
from relay_svc.providers.coze.chat import members_of
from relay_svc.providers.coze.steps import UNREADABLE, Failed, failed, failure_in, usage_of
from relay_svc.providers.coze.written import Stamp, completion, usage_members
from relay_svc.providers.faults import AdapterFault

_TAKEN: Final = frozenset({"model", "messages", "stream", "stream_options", "n", "workflow_id", "workflow_parameters"})


class Run(msgspec.Struct, frozen=True):
    """A run that a client asks for."""

    workflow_id: str
    parameters: dict[str, Any]
    lost: tuple[str, ...] = ()
    """Members of the request that a workflow has no place for."""


def read(body: bytes, target: Target) -> Run:
    """Read the run out of a chat request. The id may be empty: `calls.missing_for_run` says so. Raises AdapterFault."""
    request = members_of(body)
    given = request.get("workflow_id")
    if given is not None and not (isinstance(given, str) and given.isascii() and given.isdigit()):
        raise AdapterFault("workflow_id", "must be the number of a workflow, as a string")
    pinned = target.model if target.model.isascii() and target.model.isdigit() else ""
    if pinned and given not in (None, pinned):
        raise AdapterFault("workflow_id", "is not the workflow that this model runs")
    workflow_id = pinned or given or target.options.get("workflow_id", "")
    return Run(workflow_id, _parameters(request), _lost(request))


def _lost(request: dict[str, Any]) -> tuple[str, ...]:
    names = {name for name, value in request.items() if name not in _TAKEN and value not in (None, [], {})}
    if request.get("workflow_parameters") is None and not _says_one_thing(request.get("messages")):
        names.add("messages")
    return tuple(sorted(names))


def _says_one_thing(messages: object) -> bool:
    """Whether what the user said last, in words, is all there is."""
    if not isinstance(messages, list) or len(messages) != 1 or not isinstance(messages[0], dict):
        return not messages
    content = messages[0].get("content")
    if not isinstance(content, list):
        return True
    return all(isinstance(part, dict) and part.get("type") == "text" for part in content)


def to_coze(run: Run, *, is_async: bool) -> bytes:
    """Write the run for Coze."""
    body: dict[str, Any] = {"workflow_id": run.workflow_id, "parameters": run.parameters}
    return msgspec.json.encode(body | ({"is_async": True} if is_async else {}))


def _parameters(request: dict[str, Any]) -> dict[str, Any]:
    given = request.get("workflow_parameters")
    if isinstance(given, dict):
        return given
    if given is not None:
        raise AdapterFault("workflow_parameters", "must be an object")
    text = _last_said(request.get("messages"))
    return {"input": text} if text else {}


def _last_said(messages: object) -> str:
    for message in reversed(messages) if isinstance(messages, list) else ():
        if not isinstance(message, dict) or message.get("role") != "user":
            continue
        content = message.get("content")
        if isinstance(content, str):
            return content
        parts = content if isinstance(content, list) else []
        texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
        return "\n\n".join(text for text in texts if isinstance(text, str))
    return ""


def answer_of(body: bytes, stamp: Stamp) -> tuple[bytes, Usage | None] | Failed:
    """Write what a run gave as a chat's answer, and tell its tokens."""
    said = _decoded(body)
    if (failure := failure_in(said)) is not None:
        return failure
    data = said.get("data")
    usage = usage_of(said.get("usage"))
    return completion(stamp, data if isinstance(data, str) else "", usage=usage), usage


def execution_of(body: bytes) -> str | Failed:
    """Find the id of a run that goes on by itself."""
    said = _decoded(body)
    if (failure := failure_in(said)) is not None:
        return failure
    execute_id = said.get("execute_id")
    return execute_id if isinstance(execute_id, str) and execute_id else UNREADABLE


def started(stamp: Stamp, run_id: str) -> bytes:
    """Answer a client whose run has started; `run_id` is the signed one."""
    return completion(stamp, started_text(run_id), execute_id=run_id, status="running")


def started_text(run_id: str) -> str:
    """Say it in the answer's text, for clients that see no members but their own."""
    return msgspec.json.encode({"execute_id": run_id}).decode()


_STATUSES = {"Success": "succeeded", "Running": "running", "Fail": "failed"}


def state_of(body: bytes, run_id: str) -> bytes | Failed:
    """Write a run's state for its client: nothing of the account behind it."""
    said = _decoded(body)
    if (failure := failure_in(said)) is not None:
        return failure
    runs = said.get("data")
    run = runs[0] if isinstance(runs, list) and runs else None
    if not isinstance(run, dict):
        return UNREADABLE
    status = _STATUSES.get(str(run.get("execute_status")), "running")
    fault = failed(_number(run.get("error_code")), run.get("error_message")) if status == "failed" else None
    usage = usage_of(run.get("usage"))
    return msgspec.json.encode(
        {
            "execute_id": run_id,
            "object": "workflow.run",
            "status": status,
            "output": run.get("output") if isinstance(run.get("output"), str) else "",
            "output_trimmed": run.get("is_output_trimmed") is True,
            "error": {"code": fault.code, "message": fault.message} if fault else None,
            "created_at": run.get("create_time"),
            "updated_at": run.get("update_time"),
            "usage": usage_members(usage) if usage else None,
        }
    )


def _number(value: object) -> object:
    # The history says its codes as text, and as empty text where there is none.
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
