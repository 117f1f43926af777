"""Tokens of answers that pass in their own dialect."""

import json

import pytest

from relay_svc.dialects import Dialect, Usage, read_usage
from tests.unit.relay_svc.dialects.samples import ANSWERS, CHAT
from tests.unit.relay_svc.dialects.test_answers import TOLD


@pytest.mark.parametrize("dialect", Dialect)
def test_tokens_are_read_out_of_what_passes(dialect: Dialect) -> None:
    """Cached ones and those of reasoning too."""
    assert read_usage(dialect, json.dumps(ANSWERS[dialect]).encode()) == TOLD.usage
    assert read_usage(dialect, b"<html>") is None


def test_counts_that_are_none_count_nothing() -> None:
    """Whatever an upstream writes there."""
    assert read_usage(CHAT, b'{"usage":{"prompt_tokens":-5,"completion_tokens":99999999999999999999}}') == Usage()
