"""`make oracle`: our translations beside another implementation's, difference by difference.

Law: a difference that nobody has judged fails, and so does a verdict that holds for nothing any more. The other
implementation is LiteLLM as it is locked for the measurements (`bench/peers`), in the virtual environment made for those.
"""

# ruff: noqa: T201 - a command line tool prints

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from relay_svc.dialects import Dialect
from tests.oracle import ours
from tests.oracle.comparing import Difference, Verdict, alike, differing, judge
from tests.oracle.ours import Job
from tests.unit.relay_svc.dialects.features import FEATURES
from tests.unit.relay_svc.dialects.samples import ANSWERS, STREAMS

_HERE = Path(__file__).parent
_PYTHON = Path("bench/.peers/litellm/bin/python")
_SECONDS = 600.0
_ENVIRONMENT = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "CRITICAL", "PATH": "/usr/bin:/bin"}


def main() -> int:
    """Compare; 1 when something is unjudged."""
    if not _PYTHON.exists():
        reason = Path("bench/.peers/litellm.failed")
        print("oracle: no other implementation here:", reason.read_text() if reason.exists() else "not installed")
        return 1
    jobs = list(_jobs())
    verdicts = [Verdict(**given) for given in tomllib.loads((_HERE / "verdicts.toml").read_text())["verdict"]]
    differences = [each for job, answer in zip(jobs, _ask(jobs), strict=True) for each in _compare(job, answer)]
    unjudged = judge(differences, verdicts)
    _tell(jobs, verdicts, unjudged)
    return 1 if unjudged or any(not verdict.held for verdict in verdicts) else 0


def _jobs() -> Iterator[Job]:
    pairs = [(client, upstream) for client, upstream in product(Dialect, Dialect) if client is not upstream]
    for feature, (client, upstream) in product(FEATURES, pairs):
        if client in feature.bodies:
            yield Job(feature.name, client, upstream, feature.bodies[client])
    first = FEATURES[0]
    for client, upstream in pairs:
        yield Job("the answer", client, upstream, first.bodies[client])
        asks = {"stream_options": {"include_usage": True}} if client is Dialect.OPENAI_CHAT else {}
        yield Job("the answer", client, upstream, first.bodies[client] | asks, stream=True)


def _ask(jobs: list[Job]) -> list[dict[str, Any]]:
    answers = {each.value: {"whole": ANSWERS[each], "stream": STREAMS[each].decode()} for each in Dialect}
    task = {"answers": answers, "models": ours.MODELS, "jobs": [job.told() for job in jobs]}
    done = subprocess.run(
        [_PYTHON, "-B", _HERE / "theirs.py"],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        env=_ENVIRONMENT,
        check=False,
    )
    # It prints what it likes between its answers.
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"sent"')]
    if len(told) != len(jobs):
        sys.exit(f"oracle: the other implementation ended early:\n{done.stderr[-2000:]}")
    return told


def _compare(job: Job, theirs: dict[str, Any]) -> Iterator[Difference]:
    if job.feature != "the answer":
        what, left, right = "request", ours.sent(job), theirs["sent"]
    elif job.stream:
        what = "stream"
        left = ours.meaning(job.client, ours.streamed(job))
        right = theirs["told"] and ours.meaning(job.client, _events(job.client, theirs["told"]))
    else:
        what, left, right = "answer", ours.answered(job), theirs["told"]
    if right is None:
        right = f"refused: {theirs['fault']}"
    camel = what == "request" and job.upstream is Dialect.GEMINI  # it reads both spellings
    place = what, job.client.value, job.upstream.value, job.feature
    if isinstance(left, str) or isinstance(right, str):
        if type(left) is not type(right):
            yield Difference(*place, "", _whole(left), _whole(right))
        return
    for path, one, other in differing(alike(left, camel=camel), alike(right, camel=camel)):
        yield Difference(*place, path, one, other)


def _whole(side: Any) -> str:
    return side if isinstance(side, str) else "translated"


def _events(client: Dialect, told: list[Any]) -> bytes:
    if any(isinstance(piece, str) for piece in told):
        return "".join(piece for piece in told if isinstance(piece, str)).encode()
    written = b"".join(
        (f"event: {piece['type']}\n".encode() if "type" in piece else b"")
        + b"data: "
        + json.dumps(piece).encode()
        + b"\n\n"
        for piece in told
    )
    return written + (b"data: [DONE]\n\n" if client is Dialect.OPENAI_CHAT else b"")


def _tell(jobs: list[Job], verdicts: list[Verdict], unjudged: list[Difference]) -> None:
    for verdict in verdicts:
        if not verdict.held:
            print(f"holds for nothing any more: {verdict.why}")
    for number, difference in enumerate(sorted(unjudged), 1):
        print(f"{number:4}  {difference}")
    held = Counter[str]()
    for verdict in verdicts:
        held[verdict.right] += verdict.held
    shown = ", ".join(f"{count} where {right} is right" for right, count in sorted(held.items()))
    print(f"oracle: {len(jobs)} requests; judged: {shown or 'none'}; {len(unjudged)} differences not judged")


if __name__ == "__main__":
    sys.exit(main())
