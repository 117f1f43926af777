"""Codes read out of upstreams' errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.provider_error import read


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            b'{"error":{"code":"invalid_api_key","type":"invalid_request_error"}}',
            ("invalid_api_key", "invalid_request_error"),
        ),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}', ("", "overloaded_error")),
        (b'[{"error":{"code":400,"status":"INVALID_ARGUMENT"}}]', ("INVALID_ARGUMENT", "")),
        (
            b'{"error":{"code":400,"status":"INVALID_ARGUMENT","details":[{"@type":"x"},{"reason":"API_KEY_INVALID"}]}}',
            ("API_KEY_INVALID", ""),
        ),
        (b'{"error":"model not found"}', ("", "")),
        (b'{"error":"no","code":"model_not_found"}', ("model_not_found", "")),
        (b'{"code":"429","type":"x"}', ("", "x")),
        (b'{"error":{"code":"' + b"x" * 500 + b'"}}', ("x" * 64, "")),
        (b'{"code":4100,"msg":"authentication is invalid"}', ("coze_4100", "")),
        (b'{"code":0,"msg":"","data":{}}', ("", "")),
        (b'{"base_resp":{"status_code":1008,"status_msg":"x"}}', ("minimax_1008", "")),
        (b'{"error":{"code":"1113","message":"x"}}', ("1113", "")),
        (b'{"code":20012,"message":"x","data":null}', ("20012", "")),
        (b'{"error":{"code":400,"status":1}}', ("", "")),
        (b'{"code":true,"msg":"x"}', ("", "")),
        (b"<html>", ("", "")),
        (b"", ("", "")),
        (b"[]", ("", "")),
        (b"[" * 100_000, ("", "")),
    ],
)
def test_the_code_is_found_in_every_known_shape(body: bytes, words: tuple[str, str]) -> None:
    """OpenAI, Anthropic, Gemini, and what is none of them."""
    assert read(body) == words


@given(st.binary())
def test_no_body_makes_it_raise(body: bytes) -> None:
    """An upstream may say anything."""
    assert len(read(body)) == 2
