"""Azure OpenAI: deployments in the path, or its newer API, which is OpenAI's own under `/openai/v1`.

The law: pure. The option `api_version` chooses: a date means deployments, `latest` and `preview` the newer one. A deployment
is named by the option or by the upstream's model.
"""

from dataclasses import replace
from typing import Final

from relay_svc.operations import Format, Operation
from relay_svc.providers.call import Answer, Asked, Call, NotOffered, Target, Unusable, named, rooted, segment
from relay_svc.providers.openai import PATHS, by_api, call, served
from relay_svc.providers.vendors import Vendor

_NEWER: Final = frozenset({"latest", "preview"})
_AZURE: Final = Vendor(
    "azure-openai",
    prefix="",
    developer_role=True,
    responses=True,
    lacks=frozenset({Operation.MODERATIONS, Operation.RERANK}),
)
_FIRST_WITH_RESPONSES: Final = "2025-03-01-preview"
_FIRST_WITH_NEWER_MEMBERS: Final = "2024-09-01-preview"
"""`stream_options` and `max_completion_tokens`."""
_ENDINGS: Final = ("/openai/v1", "/openai/deployments", "/openai")


def azure(target: Target, asked: Asked) -> Answer:
    """Ask Azure."""
    version = target.options.get("api_version", "")
    if not version:
        return Unusable(target.provider, "the channel has no api_version")
    deployment = target.options.get("deployment") or target.model
    if version in _NEWER:
        return _newer(replace(target, model=deployment), asked, version)
    return _dated(target, asked, version, deployment)


def _newer(target: Target, asked: Asked, version: str) -> Answer:
    base = replace(target, base_url=rooted(target.base_url, "/openai/v1", *_ENDINGS))
    answer = call(base, asked, by_api(_AZURE, target.options), named(b"api-key", target.key))
    if isinstance(answer, Call) and version == "preview":
        return replace(answer, url=answer.url + "?api-version=preview")
    return answer


def _dated(target: Target, asked: Asked, version: str, deployment: str) -> Answer:
    vendor = by_api(_as_of(version), target.options)
    operation = served(asked, vendor)
    if operation is None:
        return NotOffered(target.provider, asked.operation)
    place = segment(deployment)
    if place is None:
        return Unusable(target.provider, "the deployment's name cannot be part of a URL")
    base = rooted(target.base_url, "/openai", *_ENDINGS)
    # Responses are the one operation that names its deployment in the body.
    path = PATHS[operation] if operation is Operation.RESPONSES else f"/deployments/{place}{PATHS[operation]}"
    formats = {Operation.CHAT: Format.OPENAI_CHAT, Operation.RESPONSES: Format.OPENAI_RESPONSES}
    return Call(
        f"{base}{path}?api-version={version}",
        operation,
        formats.get(operation, Format.OPENAI),
        named(b"api-key", target.key),
        model=deployment,
        events=asked.stream,
        vendor=vendor,
    )


def _as_of(version: str) -> Vendor:
    # Dates compare as text. A general version is later than its preview of the same day, and as text it is earlier.
    when = version if version.endswith("-preview") else version + "~"
    newer = when >= _FIRST_WITH_NEWER_MEMBERS
    return replace(_AZURE, stream_options=newer, max_completion_tokens=newer, responses=when >= _FIRST_WITH_RESPONSES)
