"""`trunkline certs`: what it makes, keeps and makes anew."""

import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from operator_cli.certificates import ROLES, CertsOptions, make
from operator_cli.errors import CertificatesError
from operator_cli.options import parse

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
FILES = {"ca.pem", "ca-key.pem", *(f"{role}{part}.pem" for role in ROLES for part in ("", "-key"))}


def options_of(folder: Path, *names: str, days: int = 397, renew: bool = False) -> CertsOptions:
    """What is typed, in short."""
    return CertsOptions(folder, names, days, renew)


def certificate(folder: Path, name: str) -> x509.Certificate:
    """One that was made."""
    return x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())


def names_in(found: x509.Certificate) -> set[str]:
    """The names of a certificate, as text."""
    held = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in held}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_ca_and_a_pair_a_service_are_made_for_their_owner_alone(tmp_path: Path) -> None:
    """Each certificate is the CA's, is no CA itself, and holds its own role and no other."""
    folder = tmp_path / "certs"
    told = list(make(options_of(folder, "gw.example", "10.0.0.1"), NOW))
    assert len(told) == 4
    assert set(contents(folder)) == FILES
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    authority = certificate(folder, "ca")
    for role in ROLES:
        made = certificate(folder, role)
        made.verify_directly_issued_by(authority)
        assert names_in(made) == {f"{role}.trunkline", "localhost", "127.0.0.1", "::1", "gw.example", "10.0.0.1"}
        assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert made.not_valid_after_utc == NOW + dt.timedelta(days=397)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / f"{role}.pem", folder / f"{role}-key.pem")
        assert made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == f"Trunkline {role}"


def test_run_again_it_changes_nothing(tmp_path: Path) -> None:
    """Until a third of the time is left."""
    list(make(options_of(tmp_path, "a.example"), NOW))
    before = contents(tmp_path)
    told = list(make(options_of(tmp_path, "a.example"), NOW + dt.timedelta(days=260)))
    assert all("kept" in line for line in told)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("names", "renew", "later"),
    [(("a.example",), False, 270), (("b.example",), False, 1), ((), False, 1), (("a.example",), True, 1)],
    ids=["it ends soon", "another name", "a name less", "asked for"],
)
def test_certificates_are_made_anew_and_the_ca_is_kept(
    tmp_path: Path, names: tuple[str, ...], renew: bool, later: int
) -> None:
    """By the same CA, which every service goes on trusting."""
    list(make(options_of(tmp_path, "a.example"), NOW))
    before = contents(tmp_path)
    list(make(options_of(tmp_path, *names, renew=renew), NOW + dt.timedelta(days=later)))
    after = contents(tmp_path)
    assert {name for name in FILES if after[name] != before[name]} == FILES - {"ca.pem", "ca-key.pem"}
    certificate(tmp_path, "router").verify_directly_issued_by(certificate(tmp_path, "ca"))


def test_what_is_damaged_or_missing_of_one_service_is_made_anew_alone(tmp_path: Path) -> None:
    """A key that is not the certificate's, and a file that is gone."""
    list(make(options_of(tmp_path), NOW))
    before = contents(tmp_path)
    (tmp_path / "relay-key.pem").write_bytes(before["admin-key.pem"])
    (tmp_path / "router.pem").unlink()
    list(make(options_of(tmp_path), NOW))
    after = contents(tmp_path)
    assert {name for name in FILES if after[name] != before[name]} == {
        *("relay.pem", "relay-key.pem", "router.pem", "router-key.pem")
    }


@pytest.mark.parametrize("half", ["ca.pem", "ca-key.pem"])
def test_half_a_ca_is_not_replaced(tmp_path: Path, half: str) -> None:
    """What all services trust is nobody's to make anew in passing."""
    list(make(options_of(tmp_path), NOW))
    (tmp_path / half).unlink()
    with pytest.raises(CertificatesError, match="half a CA"):
        list(make(options_of(tmp_path), NOW))


def test_a_certificate_never_outlives_its_ca_and_an_old_ca_is_said(tmp_path: Path) -> None:
    """Ten years on."""
    list(make(options_of(tmp_path), NOW))
    late = NOW + dt.timedelta(days=3_600)
    list(make(options_of(tmp_path), late))
    ends = certificate(tmp_path, "ca").not_valid_after_utc
    assert certificate(tmp_path, "router").not_valid_after_utc == ends
    with pytest.raises(CertificatesError, match="no longer valid"):
        list(make(options_of(tmp_path), ends))


@pytest.mark.parametrize("name", ["router.trunkline", "a b", "", "x.TRUNKLINE", "a/b"])
def test_a_host_cannot_be_called_what_only_services_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Or its certificate would serve as a router's."""
    with pytest.raises(SystemExit):
        parse(["certs", "--name", name])
    assert "--name" in capsys.readouterr().err


def test_the_flags_of_certs(tmp_path: Path) -> None:
    """Names may be many."""
    typed = ["certs", "--dir", str(tmp_path), "--name", "A.example", "--name", "::1", "--days", "30", "--renew"]
    assert parse(typed) == CertsOptions(tmp_path, ("a.example", "::1"), 30, renew=True)
