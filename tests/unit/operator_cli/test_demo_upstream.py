"""What is said of a machine that cannot run the demo model."""

from __future__ import annotations

import pytest

from operator_cli.demo_upstream import load_fault

_TRACE = """Traceback (most recent call last):
  File "<string>", line 1, in <module>
ImportError: {}
"""


@pytest.mark.parametrize(
    ("status", "said", "told"),
    [
        (
            1,
            _TRACE.format("libgomp.so.1: cannot open shared object file: No such file or directory"),
            "this machine lacks libgomp.so.1 (Debian: apt-get install libgomp1)",
        ),
        (
            1,
            _TRACE.format("libodd.so: cannot open shared object file: No such file or directory"),
            "this machine lacks libodd.so",
        ),
        (1, "ModuleNotFoundError: No module named 'numpy'", "cannot be loaded here (ModuleNotFoundError: No module"),
        (-4, "", "cannot be loaded here (exit status -4)"),
        (1, "\n", "cannot be loaded here (exit status 1)"),
    ],
)
def test_a_failed_load_is_one_line_that_names_what_lacks(status: int, said: str, told: str) -> None:
    """Never the traceback that said it."""
    line = load_fault(status, said)
    assert told in line
    assert "\n" not in line
    assert "Traceback" not in line
