"""The admin service's settings."""

import pytest

from admin_svc.settings import Settings
from trunkline.settings import Seconds, SettingsError, read

NAME = "TRUNKLINE_ADMIN_HISTORY_KEPT"
GIVEN = {
    "TRUNKLINE_DSN": "dbname=trunkline",
    "TRUNKLINE_PEPPER": "a pepper of the tests",
    "TRUNKLINE_ENCRYPTION_KEYS": "k1:" + "A" * 43 + "=",
    "TRUNKLINE_SERVICE_TOKEN": "the-service-token",
    "TRUNKLINE_ADMIN_TOKEN": "the-admin-token-of-tests",
}


@pytest.mark.parametrize("span", ["1", "59m", "3599.9s"])
def test_history_is_kept_for_longer_than_anyone_follows_behind(span: str) -> None:
    """What is shorter is a fault that says how long is long enough."""
    with pytest.raises(SettingsError) as caught:
        read(Settings, GIVEN | {NAME: span})
    (fault,) = caught.value.faults
    assert fault.name == NAME
    assert "below 3600s" in fault.description


@pytest.mark.parametrize(("span", "seconds"), [("1h", 3600), ("30d", 30 * 86_400), ("", 7 * 86_400)])
def test_history_is_kept_as_long_as_is_said(span: str, seconds: float) -> None:
    """An hour at least; a week when nothing is said."""
    assert read(Settings, GIVEN | {NAME: span}).history_kept == Seconds(seconds)
