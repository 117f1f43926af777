"""What children inherit."""

from __future__ import annotations

import pytest

from operator_cli.settings import inherited_environment


def test_settings_pass_through_except_those_decided_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log level reaches every service; a stray pepper, DSN or PGHOSTADDR reaches none."""
    for name in ("TRUNKLINE_LOG_LEVEL", "TRUNKLINE_PEPPER", "TRUNKLINE_PEPPER_FILE", "TRUNKLINE_DSN", "PGHOSTADDR"):
        monkeypatch.setenv(name, "x")
    environment = inherited_environment()
    assert environment["TRUNKLINE_LOG_LEVEL"] == "x"
    assert environment["PATH"]
    assert not {"TRUNKLINE_PEPPER", "TRUNKLINE_PEPPER_FILE", "TRUNKLINE_DSN", "PGHOSTADDR"} & set(environment)
