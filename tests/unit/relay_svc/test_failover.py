"""The failover table, row by row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.failover import CALLER_FAULTS, UPSTREAM_FAULTS, Failure, Kind, Verdict, decide

NEXT, STOP = Verdict.NEXT, Verdict.STOP


def answered(status: int, code: str = "", kind: str = "") -> Verdict:
    """What an answer with this status means."""
    return decide(Failure(Kind.ANSWERED, status, code, kind))


@pytest.mark.parametrize("kind", [Kind.CONNECT_FAILED, Kind.CONNECT_TIMEOUT, Kind.BROKEN_ANSWER])
def test_an_upstream_that_gave_no_answer_is_passed_over(kind: Kind) -> None:
    """No answer can come of it."""
    assert decide(Failure(kind)) is NEXT


def test_a_request_that_timed_out_after_sending_is_not_sent_again_unless_the_channel_allows_it() -> None:
    """It may be under way, and be billed twice."""
    assert decide(Failure(Kind.READ_TIMEOUT)) is STOP
    assert decide(Failure(Kind.READ_TIMEOUT), repeat_after_timeout=True) is NEXT


@given(st.sampled_from([301, 302, 307, 408, 429]) | st.integers(500, 599), st.sampled_from(sorted(CALLER_FAULTS)))
def test_busy_and_failing_upstreams_are_passed_over_whatever_they_say(status: int, code: str) -> None:
    """Another has its own capacity."""
    assert answered(status) is answered(status, code) is NEXT


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405, 407, 410, 413, 421, 451])
def test_a_refusal_of_the_upstreams_own_is_passed_over_unless_its_code_blames_the_caller(status: int) -> None:
    """Its key, its models, its reach: another candidate has others."""
    assert answered(status) is NEXT
    assert answered(status, kind="invalid_request_error") is NEXT
    assert answered(status, "content_policy_violation") is STOP
    assert answered(status, kind="request_too_large") is STOP


@pytest.mark.parametrize("status", [400, 406, 409, 415, 422])
def test_a_refusal_of_the_request_stops_unless_its_code_blames_the_upstream(status: int) -> None:
    """Every candidate would say the same."""
    assert answered(status) is STOP
    assert answered(status, "no_such_code_known") is STOP
    assert answered(status, "invalid_api_key", "invalid_request_error") is NEXT
    assert answered(status, "MODEL_NOT_FOUND") is NEXT


@given(st.sampled_from([400, 401, 404, 422]), st.sampled_from(sorted(UPSTREAM_FAULTS)), st.text(max_size=9))
def test_the_code_is_believed_before_the_type(status: int, code: str, kind: str) -> None:
    """`error.code` is the finer word."""
    assert answered(status, code, kind) is NEXT


def test_no_code_blames_both() -> None:
    """The two lists are apart, and in lower case."""
    assert not UPSTREAM_FAULTS & CALLER_FAULTS
    assert all(code == code.lower() for code in UPSTREAM_FAULTS | CALLER_FAULTS)
