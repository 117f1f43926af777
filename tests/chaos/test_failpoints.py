"""A failpoint does nothing unless it is armed, and then kills the process where it stands."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.harness.waiting import PATIENCE
from trunkline.failpoints import at_fault, parse

_PROGRAM = """
import sys
from trunkline.failpoints import arm, failpoint
arm(sys.argv[1])
for passage in range(1, 4):
    print(passage, flush=True)
    failpoint("here")
"""


def run(armed: str) -> tuple[int, list[str]]:
    """Exit status and passages of a program with a failpoint in a loop of three."""
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM, armed], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return ended.returncode, ended.stdout.split()


@pytest.mark.parametrize("armed", ["", "there=kill", "here=kill@4"])
def test_a_failpoint_that_is_not_armed_or_not_reached_does_nothing(armed: str) -> None:
    """Not even when another one is armed."""
    assert run(armed) == (0, ["1", "2", "3"])


def test_an_armed_failpoint_kills_at_its_passage() -> None:
    """As a power cut would: by SIGKILL."""
    assert run("here=kill") == (-signal.SIGKILL, ["1"])
    assert run("there=kill, here=kill@2") == (-signal.SIGKILL, ["1", "2"])


@pytest.mark.parametrize("text", ["here", "here=stop", "here=kill@0", "here=kill@", "Here=kill"])
def test_what_cannot_be_read_is_a_fault_of_the_settings(text: str) -> None:
    """Rather than a failpoint that never fires."""
    assert at_fault(text) is not None
    with pytest.raises(ValueError, match="is not"):
        parse(text)
