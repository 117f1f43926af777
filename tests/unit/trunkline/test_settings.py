"""Settings: read once, every fault at once, no secret shown."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from trunkline.secret import Secret
from trunkline.service_settings import Process, Tls, Tokens
from trunkline.settings import Listen, Seconds, SettingFault, SettingsError, declared, positive, read, setting


@dataclass(frozen=True)
class Sample(Process, Tls, Tokens):
    """A service's settings in small."""

    listen: Listen = setting("SAMPLE_LISTEN", Listen("127.0.0.1", 80), "Where.")
    wait: Seconds = setting("SAMPLE_WAIT", Seconds(2.0), "How long.", check=positive)
    names: tuple[str, ...] = setting("SAMPLE_NAMES", (), "Who.", aliases=("OLD_NAMES",))
    count: int = setting("SAMPLE_COUNT", 3, "How many.")
    pepper: Secret | None = setting("SAMPLE_PEPPER", None, "Hush.")

    def faults(self) -> list[SettingFault]:
        """Faults between settings."""
        return [*self.faults_of(self.listen, "SAMPLE_LISTEN"), *self.token_faults()]


REQUIRED = {"TRUNKLINE_ADMIN_TOKEN": "the-admin-token-", "TRUNKLINE_SERVICE_TOKEN": "the-service-token"}


def test_defaults_fill_what_is_not_given() -> None:
    """What has a default need not be set."""
    settings = read(Sample, REQUIRED)
    assert (settings.listen, settings.wait, settings.names, settings.count) == (Listen("127.0.0.1", 80), 2.0, (), 3)


def test_every_fault_is_reported_at_once() -> None:
    """Six faults, one report."""
    given = {
        "SAMPLE_LISTEN": "nowhere",
        "SAMPLE_WAIT": "1 fortnight",
        "SAMPLE_COUNT": "many",
        "TRUNKLINE_LOG_LEVEL": "loud",
        "TRUNKLINE_ADMIN_TOKEN": "a",
    }
    with pytest.raises(SettingsError) as caught:
        read(Sample, given)
    at_fault = {fault.name for fault in caught.value.faults}
    assert at_fault == {*given, "TRUNKLINE_SERVICE_TOKEN"}
    assert "TRUNKLINE_SERVICE_TOKEN: must be set" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"), [("2", 2.0), ("250ms", 0.25), ("1.5s", 1.5), ("5m", 300.0), ("1h", 3600.0), ("1D", 86400.0)]
)
def test_a_span_of_time_may_carry_its_unit(text: str, seconds: float) -> None:
    """Units are read, whatever their case."""
    assert read(Sample, {**REQUIRED, "SAMPLE_WAIT": text}).wait == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["0", "-1", "s", "1 2", ""])
def test_a_span_that_makes_no_sense_is_refused_or_absent(text: str) -> None:
    """An empty variable counts as unset; anything else must be a positive span."""
    if not text:
        assert read(Sample, {**REQUIRED, "SAMPLE_WAIT": text}).wait == 2.0
        return
    with pytest.raises(SettingsError, match="SAMPLE_WAIT"):
        read(Sample, {**REQUIRED, "SAMPLE_WAIT": text})


@pytest.mark.parametrize("text", ["127.0.0.1:0", "[::1]:65535", "example.org:443", "fd:7"])
def test_an_address_is_written_as_it_is_read(text: str) -> None:
    """Reading and writing are inverse."""
    assert str(Listen.parse(text)) == text


@pytest.mark.parametrize("text", ["127.0.0.1", ":80", "a:b", "h:65536", "::1:80", "fd:", "fd:-1"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    """Half an address is no address."""
    with pytest.raises(ValueError, match="host:port"):
        Listen.parse(text)


@pytest.mark.parametrize(("text", "loopback"), [("127.0.0.1:1", True), ("[::1]:1", True), ("0.0.0.0:1", False)])
def test_plaintext_is_served_on_loopback_only_unless_asked_for(text: str, loopback: bool) -> None:
    """A public address needs TLS or a word of consent."""
    given = {**REQUIRED, "SAMPLE_LISTEN": text}
    assert read(Sample, {**given, "TRUNKLINE_ALLOW_PLAINTEXT": "yes"}).listen.loopback is loopback
    if loopback:
        read(Sample, given)
        return
    with pytest.raises(SettingsError, match="TRUNKLINE_ALLOW_PLAINTEXT"):
        read(Sample, given)


def test_a_secret_may_come_from_a_file_and_is_never_shown(tmp_path: Path) -> None:
    """The file's text, stripped; the repr shows none of it."""
    file = tmp_path / "pepper"
    file.write_text("hot-and-secret\n")
    settings = read(Sample, {**REQUIRED, "SAMPLE_PEPPER_FILE": str(file)})
    assert settings.pepper is not None
    assert settings.pepper.reveal() == "hot-and-secret"
    assert "secret" not in repr(settings).replace("Secret", "")
    assert "admin-token" not in repr(settings)


def test_a_secret_given_twice_or_in_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Neither silently wins; the fault shows no value."""
    missing = str(tmp_path / "none")
    for given in ({"SAMPLE_PEPPER": "hush", "SAMPLE_PEPPER_FILE": missing}, {"SAMPLE_PEPPER_FILE": missing}):
        with pytest.raises(SettingsError) as caught:
            read(Sample, {**REQUIRED, **given})
        assert [fault.name for fault in caught.value.faults] == ["SAMPLE_PEPPER"]
        assert "hush" not in str(caught.value)


def test_a_fault_in_tokens_names_the_entry_and_not_the_token() -> None:
    """Operators see which entry; nobody sees the token."""
    with pytest.raises(SettingsError, match="entry 2") as caught:
        read(Sample, {**REQUIRED, "TRUNKLINE_TOKENS": "pick:good-token-of-its-own,fly:bad-token"})
    assert "bad-token" not in str(caught.value)


def test_an_older_name_is_read_where_the_newer_is_absent() -> None:
    """The newer name wins."""
    assert read(Sample, {**REQUIRED, "OLD_NAMES": "a, b"}).names == ("a", "b")
    assert read(Sample, {**REQUIRED, "OLD_NAMES": "a", "SAMPLE_NAMES": "c"}).names == ("c",)


def test_every_setting_is_listed_for_the_documentation() -> None:
    """Names, defaults and words come from the declarations."""
    rows = {row.name: row for row in declared(Sample)}
    assert rows["SAMPLE_LISTEN"].default == "127.0.0.1:80"
    assert rows["TRUNKLINE_ADMIN_TOKEN"].default == "required"
    assert all(row.doc for row in rows.values())


LONG, OTHER = "0123456789abcdef", "fedcba9876543210"


@pytest.mark.parametrize(
    ("given", "at_fault"),
    [
        ({"TRUNKLINE_ADMIN_TOKEN": LONG[1:]}, "TRUNKLINE_ADMIN_TOKEN"),
        ({"TRUNKLINE_SERVICE_TOKEN": LONG[1:]}, "TRUNKLINE_SERVICE_TOKEN"),
        ({"TRUNKLINE_SERVICE_TOKEN": REQUIRED["TRUNKLINE_ADMIN_TOKEN"]}, "TRUNKLINE_SERVICE_TOKEN"),
        ({"TRUNKLINE_TOKENS": f"pick:{LONG},read:{LONG[1:]}"}, "TRUNKLINE_TOKENS"),
        ({"TRUNKLINE_TOKENS": f"pick:{LONG},read:{LONG}"}, "TRUNKLINE_TOKENS"),
        ({"TRUNKLINE_TOKENS": f"pick:{REQUIRED['TRUNKLINE_ADMIN_TOKEN']}"}, "TRUNKLINE_TOKENS"),
        ({"TRUNKLINE_TOKENS": f"pick:{LONG},read:{REQUIRED['TRUNKLINE_SERVICE_TOKEN']}"}, "TRUNKLINE_TOKENS"),
    ],
)
def test_tokens_are_long_and_no_two_are_alike(given: dict[str, str], at_fault: str) -> None:
    """The fault names the variable, and shows no token."""
    with pytest.raises(SettingsError) as caught:
        read(Sample, REQUIRED | given)
    assert [fault.name for fault in caught.value.faults] == [at_fault]
    assert not any(token in str(caught.value) for token in (LONG[1:], *REQUIRED.values()))
    assert read(Sample, REQUIRED | {"TRUNKLINE_TOKENS": f"pick:{LONG},read+pick:{OTHER}"}).table().scopes_of(OTHER)
