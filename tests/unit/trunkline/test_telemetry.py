"""Lines of which there is one a request: the same as all others."""

from __future__ import annotations

import asyncio
import json
import logging
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.fuzz import examples
from trunkline import telemetry


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    """Leave structlog as it was."""
    yield
    structlog.reset_defaults()
    telemetry._lines.direct = False


def lines(capture: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was written, read."""
    return [json.loads(line) for line in capture.readouterr().err.splitlines()]


def test_a_line_told_is_the_line_that_structlog_writes(capsys: pytest.CaptureFixture[str]) -> None:
    """The same keys in the same order, the same values but the time."""
    telemetry.configure("relay")
    facts: dict[str, object] = {"request_id": "r-ä", "status": 200, "duration_ms": 1.25, "channel_ids": [1]}
    before = datetime.now(UTC)
    structlog.get_logger().warning("[Distributor] broken", **facts)
    telemetry.tell("warning", "[Distributor] broken", dict(facts))
    after = datetime.now(UTC)
    slow, quick = lines(capsys)
    assert list(slow) == list(quick)
    assert before <= datetime.fromisoformat(slow.pop("time")) <= datetime.fromisoformat(quick.pop("time")) <= after
    assert slow == quick


def test_the_level_holds_for_lines_told(capsys: pytest.CaptureFixture[str]) -> None:
    """What is below it is not written."""
    telemetry.configure("relay", "warning")
    telemetry.tell("info", "[Distributor] served", {})
    telemetry.tell("warning", "[Distributor] broken", {})
    assert [line["event"] for line in lines(capsys)] == ["[Distributor] broken"]


def test_text_is_structlogs_own(capsys: pytest.CaptureFixture[str]) -> None:
    """There is one way to write text."""
    telemetry.configure("relay", "info", "text")
    telemetry.tell("info", "[Distributor] served", {"status": 200})
    assert "status=200" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("library", [False, True], ids=["ours", "a library's"])
def test_a_fault_is_told_with_its_lines_and_never_with_what_they_held(
    form: telemetry.LogFormat, library: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A frame may hold a key."""
    telemetry.configure("relay", "info", form)
    key = f"sk-{len(form)}-secret"
    try:
        raise ValueError(len(key))  # noqa: TRY301 - what is looked for in the log
    except ValueError:
        (logging.getLogger("library") if library else telemetry.get_logger()).exception("failed")
    told = capsys.readouterr().err
    assert "raise ValueError(len(key))" in told
    assert key not in told


async def test_the_lines_of_a_turn_are_written_at_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    """Together, in their order."""
    telemetry.configure("relay")
    for number in range(3):
        telemetry.tell("info", "told", {"number": number})
    assert not lines(capsys)
    await asyncio.sleep(0)
    assert [line["number"] for line in lines(capsys)] == [0, 1, 2]


@given(st.text())
@examples(300)
def test_no_text_in_a_line_for_people_makes_a_terminal_act(text: str) -> None:
    """No control of C0 or C1, none of direction, no half of a pair; what can be shown is shown as it is."""
    shown = telemetry.printable(text)
    assert not any(unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in shown)
    assert not any(unicodedata.bidirectional(each) in DIRECTIONS for each in shown)
    assert telemetry.printable(shown) == shown
    shown.encode()


DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def _fails() -> None:
    raise ValueError(TRICKS)


TRICKS = "\x1b[31m\x9b2J\r\n\x07\u202e\u2028\ud800\x7f"


def test_what_a_stranger_sent_is_escaped_wherever_it_stands_in_a_line_for_people(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In the event, in a fact, within a list, in the message of an exception, and in a line of a library's."""
    telemetry.configure("relay", "info", "text")
    log = telemetry.get_logger()
    event = "path " + TRICKS
    log.info(event, path=TRICKS, channels=[TRICKS])
    telemetry.tell("info", "[Distributor] served", {"path": TRICKS})
    try:
        _fails()
    except ValueError:
        log.exception("failed")
    logging.getLogger("a library").warning("said %s", TRICKS)
    written = capsys.readouterr().err
    assert written.count("\\x9b2J") >= 6
    assert not (set(TRICKS) - set("[31m2J\n")) & set(written)
    assert "Traceback (most recent call last):\n" in written
