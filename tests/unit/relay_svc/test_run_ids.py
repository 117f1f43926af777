"""Signed ids of runs: whose they are, and what becomes of those that are tampered with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.providers.coze.runs import LONGEST, Execution, RunIds, TooLong
from trunkline.secret import Secret

OLD, NEW = Secret("old secret"), Secret("new secret")
RUN = Execution(7, 42, "73505836754923", "743104097880585", "flow")
IDS = RunIds([NEW])


@given(
    st.integers(1, 1 << 62),
    st.integers(1, 1 << 62),
    st.from_regex(r"[0-9]{1,20}", fullmatch=True),
    st.text(max_size=20),
    st.text(max_size=50),
)
def test_an_id_names_its_run_and_whose_it_is(
    channel_id: int, api_key_id: int, workflow_id: str, execute_id: str, model: str
) -> None:
    """On any relay that has the secret."""
    run = Execution(channel_id, api_key_id, workflow_id, execute_id, model)
    run_id = IDS.sign(run)
    assert RunIds([NEW]).read(run_id) == run
    assert run_id.isascii()
    assert "/" not in run_id


@given(st.data())
def test_an_id_that_was_tampered_with_is_no_ones(data: st.DataObject) -> None:
    """Any character changed, cut off or added; bits that the encoding leaves unused may vary."""
    run_id = IDS.sign(RUN)
    place = data.draw(st.integers(4, len(run_id) - 2))
    letter = data.draw(st.sampled_from("ABCxyz019-_").filter(lambda other: other != run_id[place]))
    assert IDS.read(run_id[:place] + letter + run_id[place + 1 :]) is None
    assert IDS.read(run_id[:place]) is None
    assert IDS.read(run_id + letter) is None


@given(st.text(max_size=300) | st.text(max_size=300).map("run_".__add__))
def test_no_text_makes_reading_raise(text: str) -> None:
    """It comes from a path."""
    assert IDS.read(text) is None


def test_a_secret_can_be_replaced_while_runs_are_going_on() -> None:
    """The first signs, all are believed."""
    old = RunIds([OLD]).sign(RUN)
    assert RunIds([NEW, OLD]).read(old) == RUN
    assert RunIds([NEW]).read(old) is None
    assert RunIds([NEW, OLD]).sign(RUN) == IDS.sign(RUN)


def test_there_is_no_signing_without_a_secret_and_no_id_that_a_path_could_not_hold() -> None:
    """An empty secret would sign for everybody."""
    for secrets in ([], [Secret("")]):
        with pytest.raises(ValueError, match="secret"):
            RunIds(secrets)
    with pytest.raises(TooLong):
        IDS.sign(Execution(1, 1, "1", "x" * LONGEST, "m"))
    assert IDS.fits(Execution(1 << 62, 1 << 62, "1" * 32, "", "m" * 128))
    assert not IDS.fits(Execution(1, 1, "1", "", "m" * LONGEST))
    assert "secret" not in repr(IDS)
