"""The relay's own refusals in every family's shape, and the page that lists them."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from relay_svc import errors
from relay_svc.dialects.answer import BROKE_OFF
from relay_svc.envelopes import event
from relay_svc.errors import HttpRefusal
from relay_svc.operations import Format
from relay_svc.plan import PickRefused
from trunkline.errors import Reason

PAGE: Final = Path(__file__).parents[3] / "docs" / "errors.md"
ROW: Final = re.compile(r"^\| `([A-Z_]+)` \| (\d+) \| `(\w+)` \| `(\w+)` \| `(\w+)` \| (yes|no) \|", re.MULTILINE)
ROWS: Final = {row[0]: row[1:] for row in ROW.findall(PAGE.read_text())}

ARGUMENTS: Final[Mapping[str, tuple[Any, ...]]] = {
    "overloaded": ("requests",),
    "stream_broken": (1, 2, BROKE_OFF),
    "bad_body": ("x", None),
    "body_too_large": (1,),
    "model_late": (1,),
    "body_too_slow": (1.0,),
    "not_found": ("/x",),
    "not_served": ("not served yet",),
    "method_not_allowed": ("GET", "POST"),
    "no_such_model": ("m",),
    "not_offered": ("m", "embed"),
    "cannot_carry": ("n",),
    "run_incomplete": (["key"],),
    "run_not_told": ("x",),
    "channels_unusable": ("m",),
    "channels_unseen": ("m",),
    "model_unchecked": ("models",),
}
NOT_REFUSALS: Final = {"of_pick", "dataclass", "envelope", "broken_words", "cut_off"}


def refusals() -> list[HttpRefusal]:
    """Every refusal that the relay can utter: of its own making, and of a router's."""
    makers: dict[str, Callable[..., HttpRefusal]] = {
        name: made
        for name, made in vars(errors).items()
        if callable(made) and name[0].islower() and name not in NOT_REFUSALS
    }
    own = [maker(*ARGUMENTS.get(name, ())) for name, maker in makers.items()]
    return own + [errors.of_pick(PickRefused(reason, "x", {"revision": "7"})) for reason in Reason]


def test_the_page_says_of_every_refusal_what_each_family_of_clients_reads() -> None:
    """Status, code, type, status in words, and whether to ask again."""
    for refusal in refusals():
        anthropic = json.loads(refusal.body("r", Format.ANTHROPIC))["error"]["type"]
        google = json.loads(refusal.body("r", Format.GEMINI))["error"]["status"]
        again = {True: "yes", False: "no"}[refusal.retry]
        assert ROWS[refusal.reason] == (str(refusal.status), refusal.code, anthropic, google, again), refusal.reason


def test_the_page_lists_nothing_else() -> None:
    """A reason that nobody utters misleads."""
    assert ROWS.keys() == {refusal.reason for refusal in refusals()}


@pytest.mark.parametrize("written", Format)
def test_every_refusal_tells_sdks_whether_to_repeat_it(written: Format) -> None:
    """By one header or the other, in every family's words; and nothing that cannot be mended is called overloaded."""
    for refusal in refusals():
        headers = dict(refusal.all_headers())
        assert (b"retry-after" in headers) is refusal.retry, refusal.reason
        assert headers.get(b"x-should-retry", b"true") == (b"true" if refusal.retry else b"false"), refusal.reason
        assert refusal.retry or b"overloaded_error" not in refusal.body("r", written), refusal.reason
        assert not refusal.retry or refusal.status in (408, 429) or refusal.status >= 500, refusal.reason


def test_every_envelope_says_reason_revision_and_request_id() -> None:
    """Beside what the SDKs read."""
    refusal = errors.of_pick(PickRefused(Reason.NO_CHANNEL, "all off", {"revision": "7"}))
    assert json.loads(refusal.body("r-1", Format.ANTHROPIC)) == {
        "type": "error",
        "error": {"type": "api_error", "message": "all off", "reason": "NO_CHANNEL", "revision": 7},
        "request_id": "r-1",
    }
    google = json.loads(refusal.body("r-1", Format.GEMINI))["error"]
    assert (google["code"], google["status"]) == (503, "UNAVAILABLE")
    assert google["details"][0]["reason"] == "NO_CHANNEL"
    assert google["details"][0]["metadata"] == {"request_id": "r-1", "revision": "7"}
    for written in (Format.OPENAI, Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, Format.RERANK):
        assert json.loads(refusal.body("r-1", written))["error"]["revision"] == 7


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (Format.OPENAI_CHAT, b""),
        (Format.GEMINI, b""),
        (Format.ANTHROPIC, b"event: error\n"),
        (Format.OPENAI_RESPONSES, b"event: error\n"),
    ],
)
def test_a_stream_that_broke_ends_in_an_event_that_its_clients_take_for_an_error(written: Format, name: bytes) -> None:
    """After a blank line, since an event may be open."""
    sent = event(written, errors.upstream_broken().told("r-1"))
    assert sent.startswith(b"\n\n" + name + b"data: {")
    assert sent.endswith(b"}\n\n")
    said = json.loads(sent.split(b"data: ")[1])
    if written is Format.OPENAI_RESPONSES:
        assert (said["type"], said["code"]) == ("error", "upstream_broken")
    else:
        assert "error" in said
