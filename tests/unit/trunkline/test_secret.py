"""Secrets do not print, seals do not open elsewhere."""

import base64
import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.secret import PROXY, ApiKeyHasher, Sealer, Secret, UnsealError, is_sealed

KEY_ONE = base64.b64encode(bytes(range(32))).decode()
KEY_TWO = base64.b64encode(bytes(range(32, 64))).decode()


@given(st.text(min_size=5))
def test_a_secret_is_not_in_what_it_prints(text: str) -> None:
    """Neither repr, str nor format show it."""
    secret = Secret("sk-" + text)
    assert "sk-" + text not in repr(secret) + str(secret) + f"{secret}"


def test_a_secret_shows_at_most_a_quarter_of_itself() -> None:
    """Four characters of a long one, fewer of a short one."""
    assert Secret("sk-0123456789abcdef").last_four == "cdef"
    assert Secret("12345678").last_four == "78"
    assert Secret("abc").last_four == ""


def test_a_secret_is_not_pickled() -> None:
    """It stays in the process."""
    with pytest.raises(TypeError):
        pickle.dumps(Secret("x"))
    with pytest.raises(TypeError):
        copy.copy(Secret("x"))


def test_secrets_compare_by_their_text() -> None:
    """Equal text, equal secret; other types are never equal."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


@given(st.text(), st.integers(1, 2**62), st.integers(1, 2**62))
def test_a_sealed_key_opens_as_itself(text: str, channel_id: int, key_id: int) -> None:
    """Sealing and opening are inverse for the same ids."""
    sealer = Sealer.parse(Secret(f"k1:{KEY_ONE}"))
    assert sealer.unseal(sealer.seal(Secret(text), channel_id, key_id), channel_id, key_id).reveal() == text


@pytest.mark.parametrize(("channel_id", "key_id"), [(1, 3), (3, 2), (12, 0)])
def test_a_sealed_key_does_not_open_for_another_row(channel_id: int, key_id: int) -> None:
    """Rows swapped in the database are refused, and the error names ids only."""
    sealer = Sealer.parse(Secret(f"k1:{KEY_ONE}"))
    sealed = sealer.seal(Secret("sk-upstream"), 1, 2)
    with pytest.raises(UnsealError) as caught:
        sealer.unseal(sealed, channel_id, key_id)
    assert "upstream" not in str(caught.value)


def test_a_proxy_opens_as_its_channels_own_and_as_nothing_else() -> None:
    """Neither as another channel's, nor as a key; and the error names no more than whose it is."""
    sealer = Sealer.parse(Secret(f"k1:{KEY_ONE}"))
    sealed = sealer.seal(Secret("http://u:s3cret@proxy:1"), 7, PROXY)
    assert sealer.unseal(sealed, 7, PROXY).reveal() == "http://u:s3cret@proxy:1"
    assert is_sealed(sealed)
    for channel_id, key_id in ((8, PROXY), (7, 0), (7, "")):
        with pytest.raises(UnsealError) as caught:
            sealer.unseal(sealed, channel_id, key_id)
        assert "s3cret" not in str(caught.value)
    with pytest.raises(UnsealError, match="proxy of channel 8"):
        sealer.unseal(sealed, 8, PROXY)


@pytest.mark.parametrize(
    "sealed", [b"", b"k1", b"k1:", b"k1:" + b"x" * 28, b":" + b"x" * 40, b"http://u:s3cret@proxy:1"]
)
def test_what_was_never_sealed_does_not_look_so(sealed: bytes) -> None:
    """It can be told without any key."""
    assert not is_sealed(sealed)


def test_after_a_rotation_old_seals_still_open_and_new_ones_use_the_first_key() -> None:
    """The key id in front tells which key sealed it."""
    before = Sealer.parse(Secret(f"k1:{KEY_ONE}"))
    after = Sealer.parse(Secret(f"k2:{KEY_TWO},k1:{KEY_ONE}"))
    assert after.unseal(before.seal(Secret("x"), 1, 1), 1, 1).reveal() == "x"
    with pytest.raises(UnsealError, match="not configured"):
        before.unseal(after.seal(Secret("x"), 1, 1), 1, 1)


@given(st.binary(max_size=80))
def test_no_bytes_whatever_break_unsealing(damaged: bytes) -> None:
    """Damage is UnsealError and nothing else."""
    sealer = Sealer.parse(Secret(f"k1:{KEY_ONE}"))
    for sealed in (damaged, b"k1:" + damaged):
        with pytest.raises(UnsealError):
            sealer.unseal(sealed, 1, 1)


@pytest.mark.parametrize("text", ["", "k1", "k1:", "k1:!!", f"k1:{KEY_ONE},k1:{KEY_TWO}", "k1:QUJD", f"k-1:{KEY_ONE}"])
def test_sealing_keys_at_fault_are_named_by_entry(text: str) -> None:
    """The entry, not the key."""
    with pytest.raises(ValueError, match="entry") as caught:
        Sealer.parse(Secret(text))
    assert KEY_ONE not in str(caught.value)


def test_the_hash_of_an_api_key_depends_on_the_pepper() -> None:
    """The same secret under another pepper is another hash; hashing twice is the same hash."""
    one, two = ApiKeyHasher(Secret("p1")), ApiKeyHasher(Secret("p2"))
    assert one.hash("sk-a") == one.hash("sk-a") != two.hash("sk-a")
    assert len(one.hash("\ud800")) == 32
