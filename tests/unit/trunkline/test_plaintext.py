"""One rule for plaintext, on every listener and every dial."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin_svc.settings import Settings as AdminSettings
from relay_svc.settings import Settings as RelaySettings
from router_svc.settings import Settings as RouterSettings
from trunkline.plaintext import is_loopback, plaintext_fault
from trunkline.rpc import PlaintextDialError, dial
from trunkline.secret import Secret
from trunkline.service_settings import Tls
from trunkline.settings import Listen, SettingsError, declared, read

GIVEN = {
    "TRUNKLINE_DSN": "dbname=x",
    "TRUNKLINE_PEPPER": "a pepper of the tests",
    "TRUNKLINE_ENCRYPTION_KEYS": "k1:" + "A" * 43 + "=",
    "TRUNKLINE_SERVICE_TOKEN": "the-service-token",
    "TRUNKLINE_ADMIN_TOKEN": "the-admin-token-of-tests",
}
SERVICES = (AdminSettings, RouterSettings, RelaySettings)
ADDRESSES = [
    (cls, row.name)
    for cls in SERVICES
    for row in declared(cls)
    if row.name.endswith("_LISTEN") or row.name == "TRUNKLINE_RELAY_ROUTERS"
]
"""Every setting that is an address; a new one is found here by its name."""


@given(st.booleans(), st.booleans(), st.booleans())
def test_one_reason_is_enough(loopback: bool, secured: bool, allowed: bool) -> None:
    """Loopback, TLS or a word of consent."""
    fault = plaintext_fault("a", loopback=loopback, secured=secured, allowed=allowed)
    assert (fault is None) is (loopback or secured or allowed)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *(("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("localhost", True)),
        *(("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("localhost.evil", False), ("", False)),  # noqa: S104
    ],
)
def test_only_what_stays_on_the_machine_is_loopback(host: str, loopback: bool) -> None:
    """A name may be anybody's."""
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(("cls", "name"), ADDRESSES, ids=lambda each: getattr(each, "__module__", each))
def test_every_address_of_every_service_is_held_against_the_rule(cls: type, name: str, tmp_path: Path) -> None:
    """Refused in the clear, taken with TLS, taken when allowed."""
    pem = tmp_path / "x.pem"
    pem.touch()
    tls: Mapping[str, str] = {
        "TRUNKLINE_TLS_CERT": str(pem),
        "TRUNKLINE_TLS_KEY": str(pem),
        "TRUNKLINE_TLS_CA": str(pem),
    }
    if name == "TRUNKLINE_RELAY_LISTEN":  # of clients, who trust other certificates
        tls = {"TRUNKLINE_RELAY_HTTPS_CERT": str(pem), "TRUNKLINE_RELAY_HTTPS_KEY": str(pem)}
    away = GIVEN | {name: "10.0.0.1:4000"}
    with pytest.raises(SettingsError) as caught:
        read(cls, away)
    assert [fault.name for fault in caught.value.faults] == [name]
    read(cls, {**away, **tls})
    read(cls, away | {"TRUNKLINE_ALLOW_PLAINTEXT": "true"})
    read(cls, GIVEN | {name: "127.0.0.1:4000"})


@pytest.mark.parametrize(
    "address", ["10.0.0.1:1", "router:1", "fd:3", "unix:///tmp/x", "dns:///h:1", "h", "127.0.0.1:0", ""]
)
def test_an_address_off_loopback_is_not_dialled_in_the_clear(address: str) -> None:
    """Whoever wrote it, in a row of the database or in a peer's answer."""
    with pytest.raises(PlaintextDialError):
        dial(address, Secret("a-token-of-its-own"), Tls(None, None, None, allow_plaintext=False))


def test_a_descriptor_is_the_business_of_whoever_opened_it() -> None:
    """Who opens it for a service holds it against the rule."""
    assert Listen.parse("fd:3").loopback
