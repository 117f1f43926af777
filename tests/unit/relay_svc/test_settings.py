"""The relay's settings."""

import pytest

from relay_svc.settings import Settings
from trunkline.settings import SettingsError, read

GIVEN = {"TRUNKLINE_SERVICE_TOKEN": "the-service-token"}


def test_the_defaults_are_fit_to_run_with() -> None:
    """One secret is all that must be given."""
    settings = read(Settings, GIVEN)
    assert settings.max_body_bytes == 64 << 20
    assert settings.routers == ("127.0.0.1:50051",)
    assert settings.limits.connect == 5


def test_every_fault_is_told_at_once() -> None:
    """Not the first alone."""
    faulty = {
        "TRUNKLINE_RELAY_ROUTERS": "nowhere",
        "TRUNKLINE_RELAY_TRUSTED_PROXIES": "10.0.0.0/8,neighbour",
        "TRUNKLINE_RELAY_MAX_ATTEMPTS": "17",
        "TRUNKLINE_RELAY_TOTAL_TIMEOUT": "0",
    }
    with pytest.raises(SettingsError) as caught:
        read(Settings, faulty)
    assert {fault.name for fault in caught.value.faults} == {*faulty, "TRUNKLINE_SERVICE_TOKEN"}


def test_networks_and_routers_are_read() -> None:
    """Lists, with or without spaces."""
    environ = GIVEN | {
        "TRUNKLINE_RELAY_ROUTERS": "a:1, b:2",
        "TRUNKLINE_ALLOW_PLAINTEXT": "true",
        "TRUNKLINE_RELAY_TRUSTED_PROXIES": "10.0.0.0/8, ::1",
    }
    settings = read(Settings, environ)
    assert settings.routers == ("a:1", "b:2")
    assert len(settings.trusted_networks) == 2
