"""Fingerprints, and what a service whose secrets are others must do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools

import pytest

from trunkline.secret import ApiKeyHasher, Secret
from trunkline.shared_secrets import IN_ACCORD, KEYS_SETTING, PEPPER_SETTING, Accord, Registered, SharedSecrets, compare

ONE, TWO = Secret("one pepper of the tests"), Secret("two peppers of the tests")
KEYS = {name: base64.b64encode(bytes([number]) * 32).decode() for number, name in enumerate(("k1", "k2", "k3"), 1)}


def keys(*names: str) -> Secret:
    """Encryption keys by their ids."""
    return Secret(",".join(f"{name}:{KEYS[name]}" for name in names))


def held(pepper: Secret = ONE, old: Secret | None = None, *names: str) -> SharedSecrets:
    """What a service holds."""
    return SharedSecrets.of(pepper, old, keys(*(names or ("k1",))))


def registered(*services: SharedSecrets) -> Registered:
    """A catalog that knows the secrets of these services."""
    return Registered(
        frozenset().union(*(service.peppers for service in services)),
        {name: fingerprint for service in services for name, fingerprint in service.keys.items()},
    )


def test_a_catalog_that_knows_no_secret_agrees_with_everybody() -> None:
    """As before its first admin of this version."""
    assert compare(held(), Registered(frozenset(), {})) == IN_ACCORD


def test_the_same_secrets_agree_and_others_differ_by_the_name_of_their_setting() -> None:
    """Never by the secret."""
    known = registered(held())
    assert compare(held(), known) == IN_ACCORD
    assert compare(held(TWO), known) == Accord((PEPPER_SETTING,))
    assert compare(held(ONE, None, "k2"), known).differing == (KEYS_SETTING,)
    other = SharedSecrets.of(ONE, None, Secret(f"k1:{KEYS['k2']}"))
    assert compare(other, known) == Accord((f"{KEYS_SETTING} (k1)",))


def test_who_lacks_a_secret_that_is_new_is_in_doubt_and_differs_not() -> None:
    """It goes on serving what it can read."""
    known = registered(held(TWO, ONE, "k2", "k1"))
    accord = compare(held(), known)
    assert not accord.differing
    assert accord.pepper_missing
    assert [entry.split()[0] for entry in accord.missing] == ["pepper", "encryption"]
    assert compare(held(TWO, ONE, "k2", "k1"), registered(held())) == IN_ACCORD


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_no_order_of_a_rotation_makes_anybody_differ(order: tuple[int, ...]) -> None:
    """Each service holds old and new before the old one is forgotten."""
    old, both, new = held(), held(TWO, ONE, "k2", "k1"), held(TWO, None, "k2")
    for first, then in ((old, both), (both, new)):
        services = [first] * 3
        for place in order:
            services[place] = then
            known = registered(*services)
            if first is both:
                known = registered(both)
            assert not any(compare(service, known).differing for service in services)
    assert compare(new, registered(new)) == IN_ACCORD


def test_fingerprints_are_keyed_by_a_label_and_show_nothing_that_is_stored() -> None:
    """A pepper's takes a slow hash, and neither is what the secret makes of anything else."""
    one = held()
    assert one.pepper != hashlib.sha256(ONE.reveal().encode()).digest()
    assert one.pepper not in {ApiKeyHasher(ONE).hash(text) for text in ("", "pepper", "trunkline/fingerprint/1/pepper")}
    raw = base64.b64decode(KEYS["k1"])
    assert one.keys["k1"] == hmac.digest(raw, b"trunkline/fingerprint/1/encryption key", "sha256")
    assert len({one.pepper, held(TWO).pepper, *held(ONE, None, "k1", "k2").keys.values()}) == 4
