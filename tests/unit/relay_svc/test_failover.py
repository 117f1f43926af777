"""The failover table, row by row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.failover import (
    CALLER_FAULTS,
    UPSTREAM_FAULTS,
    Around,
    Failure,
    Judgement,
    Kind,
    Verdict,
    classify,
    decide,
    judge,
)
from relay_svc.failure_words import FailureClass, class_of, words_twice

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
    assert words_twice() == []


# ---------------------------------------------------------------- classes


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Failure(Kind.CONNECT_FAILED), FailureClass.UNREACHABLE),
        (Failure(Kind.CONNECT_TIMEOUT), FailureClass.TIMEOUT_BEFORE_SEND),
        (Failure(Kind.READ_TIMEOUT), FailureClass.TIMEOUT_AFTER_SEND),
        (Failure(Kind.STALLED), FailureClass.STALLED),
        (Failure(Kind.BROKEN_ANSWER), FailureClass.BROKEN_ANSWER),
        (Failure(Kind.ANSWERED, 503), FailureClass.TRANSIENT),
        (Failure(Kind.ANSWERED, 529, "", "overloaded_error"), FailureClass.TRANSIENT),
        (Failure(Kind.ANSWERED, 302), FailureClass.TRANSIENT),
        (Failure(Kind.ANSWERED, 500, "invalid_value"), FailureClass.TRANSIENT),
        (Failure(Kind.ANSWERED, 429), FailureClass.RATE_LIMIT),
        (Failure(Kind.ANSWERED, 429, "insufficient_quota"), FailureClass.QUOTA),
        (Failure(Kind.ANSWERED, 429, "1113"), FailureClass.QUOTA),
        (Failure(Kind.ANSWERED, 403, "AccountOverdueError"), FailureClass.QUOTA),
        (Failure(Kind.ANSWERED, 429, "Throttling.AllocationQuota"), FailureClass.RATE_LIMIT),
        (Failure(Kind.ANSWERED, 401), FailureClass.CREDENTIAL),
        (Failure(Kind.ANSWERED, 400, "API_KEY_INVALID"), FailureClass.CREDENTIAL),
        (Failure(Kind.ANSWERED, 404, "InvalidEndpointOrModel.NotFound"), FailureClass.MODEL_MISSING),
        (Failure(Kind.ANSWERED, 400, "DeploymentNotFound"), FailureClass.MODEL_MISSING),
        (Failure(Kind.ANSWERED, 400, "FAILED_PRECONDITION"), FailureClass.REGION),
        (Failure(Kind.ANSWERED, 413), FailureClass.TOO_LARGE),
        (Failure(Kind.ANSWERED, 400), FailureClass.CALLER),
        (Failure(Kind.ANSWERED, 400, "1301"), FailureClass.POLICY),
        (Failure(Kind.ANSWERED, 200, "coze_4100"), FailureClass.CREDENTIAL),
        (Failure(Kind.ANSWERED, 200, "coze_4000"), FailureClass.CALLER),
        (Failure(Kind.ANSWERED, 200, "coze_999"), FailureClass.TRANSIENT),
        (Failure(Kind.ANSWERED, 200, "minimax_1008"), FailureClass.QUOTA),
    ],
)
def test_a_failure_is_classed_by_its_code_before_its_status(failure: Failure, kind: FailureClass) -> None:
    """OpenAI, Anthropic, Google, Azure, DashScope, Volcengine, Zhipu, MiniMax, Coze."""
    assert classify(failure) is kind


LIMITED = Failure(Kind.ANSWERED, 429, retry_after=2.0)


@pytest.mark.parametrize(
    ("failure", "around", "judgement"),
    [
        (LIMITED, Around(1, keys=1, patience=5), Judgement(FailureClass.RATE_LIMIT, Verdict.OTHER_KEY)),
        (LIMITED, Around(1, patience=5), Judgement(FailureClass.RATE_LIMIT, Verdict.NEXT)),
        (LIMITED, Around(0, patience=5), Judgement(FailureClass.RATE_LIMIT, Verdict.WAIT, 2.0)),
        (LIMITED, Around(0, patience=1), Judgement(FailureClass.RATE_LIMIT, Verdict.STOP)),
        (Failure(Kind.ANSWERED, 503), Around(0, patience=1), Judgement(FailureClass.TRANSIENT, Verdict.WAIT, 0.5)),
        (Failure(Kind.ANSWERED, 401), Around(0, keys=1), Judgement(FailureClass.CREDENTIAL, Verdict.OTHER_KEY)),
        (Failure(Kind.ANSWERED, 401), Around(0, patience=9), Judgement(FailureClass.CREDENTIAL, Verdict.STOP)),
        (Failure(Kind.ANSWERED, 404), Around(0, keys=1), Judgement(FailureClass.MODEL_MISSING, Verdict.STOP)),
        (Failure(Kind.STALLED), Around(1), Judgement(FailureClass.STALLED, Verdict.NEXT)),
        (Failure(Kind.READ_TIMEOUT), Around(1, keys=1), Judgement(FailureClass.TIMEOUT_AFTER_SEND, Verdict.STOP)),
        (Failure(Kind.ANSWERED, 400), Around(9, keys=9, patience=9), Judgement(FailureClass.CALLER, Verdict.STOP)),
    ],
)
def test_what_follows_is_the_first_that_can_be_done(failure: Failure, around: Around, judgement: Judgement) -> None:
    """Another key, another candidate, a bounded wait, or nothing."""
    assert judge(failure, around) == judgement


FAILURES = st.builds(
    Failure,
    st.sampled_from(Kind),
    st.integers(200, 599),
    st.sampled_from(["", "insufficient_quota", "invalid_value", "coze_4100"]) | st.text(max_size=8),
    st.text(max_size=8),
    st.none() | st.floats(0, 1e6),
)


@given(FAILURES, st.integers(0, 3), st.integers(0, 3), st.floats(0, 60), st.booleans())
def test_nothing_is_done_that_cannot_be(
    failure: Failure, candidates: int, keys: int, patience: float, repeat: bool
) -> None:
    """And with candidates left the shorter question has the same answer, but for the other key."""
    judged = judge(failure, Around(candidates, keys, patience, repeat))
    assert judged.verdict is not Verdict.NEXT or candidates
    assert judged.verdict is not Verdict.OTHER_KEY or keys
    assert 0 <= judged.wait <= patience
    assert decide(failure, repeat_after_timeout=repeat) in (NEXT, STOP)
    if candidates and judged.verdict is not Verdict.OTHER_KEY:
        assert judged.verdict is decide(failure, repeat_after_timeout=repeat)


def test_a_word_with_dots_is_looked_up_whole_and_then_by_its_beginning() -> None:
    """Alibaba's and Volcengine's words."""
    assert class_of("Throttling.RateQuota") is FailureClass.RATE_LIMIT
    assert class_of("Model.AccessDenied") is FailureClass.MODEL_MISSING
    assert class_of("nothing.known") is None
    assert class_of("") is None
