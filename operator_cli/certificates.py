"""`trunkline certs`: a CA and a certificate for each kind of service, so that services prove to each other what they are.

    <directory>/       0700, each file 0600
        ca.pem         what every service trusts: TRUNKLINE_TLS_CA
        ca-key.pem     signs; needed only here
        router.pem     router-key.pem     TRUNKLINE_TLS_CERT, TRUNKLINE_TLS_KEY of routers
        relay.pem …    admin.pem …

Law: the name in a certificate (`router.trunkline`) says what its holder may serve as, and who dials a router asks for it. Run
again, it keeps what is good for long enough and makes the rest anew; a CA is never replaced, or every service would have to
be told at once.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from operator_cli.errors import CertificatesError

ROLES: Final = ("router", "relay", "admin")
DOMAIN: Final = ".trunkline"
_CA_DAYS: Final = 3_650
_CLOCKS_APART: Final = dt.timedelta(hours=1)
_LOCAL: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class CertsOptions:
    """The flags of `trunkline certs`."""

    directory: Path
    names: tuple[str, ...]
    days: int
    renew: bool


@dataclass(frozen=True, slots=True)
class _Pair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make(options: CertsOptions, now: dt.datetime) -> Iterator[str]:
    """Make what is missing, and tell what was made and what was kept. Raises CertificatesError."""
    folder = options.directory
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority, told = _authority(folder, now)
        yield told
        for role in ROLES:
            yield _service(options, role, authority, now)
    except OSError as error:
        raise CertificatesError(f"{folder} cannot be used: {error.strerror}") from None


def _authority(folder: Path, now: dt.datetime) -> tuple[_Pair, str]:
    found = _read(folder, "ca", "ca-key")
    if found is None:
        if (folder / "ca.pem").exists() or (folder / "ca-key.pem").exists():
            raise CertificatesError(
                f"{folder} holds half a CA: put ca.pem and ca-key.pem back, or choose another --dir"
            )
        made = _authority_made(now)
        _write(folder, "ca", "ca-key", made)
        return made, _told("ca", made, "made")
    if found.certificate.not_valid_after_utc <= now:
        raise CertificatesError(f"the CA in {folder} is no longer valid: make another with --dir, and give it to all")
    return found, _told("ca", found, "kept")


def _service(options: CertsOptions, role: str, authority: _Pair, now: dt.datetime) -> str:
    names = (role + DOMAIN, *_LOCAL, *options.names)
    found = _read(options.directory, role, f"{role}-key")
    if found is not None and not options.renew and _good(found, names, authority, now):
        return _told(role, found, "kept")
    made = _service_made(role, names, authority, now, options.days)
    _write(options.directory, role, f"{role}-key", made)
    return _told(role, made, "made")


def _good(found: _Pair, names: Sequence[str], authority: _Pair, now: dt.datetime) -> bool:
    """Whether a certificate is the CA's, holds the names, and has a third of its time left."""
    certificate = found.certificate
    try:
        certificate.verify_directly_issued_by(authority.certificate)
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return list(held) == [_general(name) for name in dict.fromkeys(names)] and ends - now > (ends - begins) / 3


def _authority_made(now: dt.datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Trunkline CA")])
    builder = _builder(name, name, key, now, now + dt.timedelta(days=_CA_DAYS))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return _Pair(builder.add_extension(_usage(signs=True), critical=True).sign(key, hashes.SHA256()), key)


def _service_made(role: str, names: Sequence[str], authority: _Pair, now: dt.datetime, days: int) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    ends = min(now + dt.timedelta(days=days), authority.certificate.not_valid_after_utc)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Trunkline {role}")])
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        _builder(subject, authority.certificate.subject, key, now, ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(both), critical=False)
        .add_extension(x509.SubjectAlternativeName(map(_general, dict.fromkeys(names))), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    return _Pair(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: dt.datetime, ends: dt.datetime
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer, subject, key.public_key(), x509.random_serial_number(), now - _CLOCKS_APART, ends
    ).add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _read(folder: Path, name: str, key_name: str) -> _Pair | None:
    """What is there; None when it is not a whole pair that can be read."""
    try:
        certificate = x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
        key = serialization.load_pem_private_key((folder / f"{key_name}.pem").read_bytes(), None)
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None
    return _Pair(certificate, key)


def _write(folder: Path, name: str, key_name: str, pair: _Pair) -> None:
    pem = serialization.Encoding.PEM
    clear = serialization.NoEncryption()
    _replace(folder / f"{key_name}.pem", pair.key.private_bytes(pem, serialization.PrivateFormat.PKCS8, clear))
    _replace(folder / f"{name}.pem", pair.certificate.public_bytes(pem))


def _replace(file: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    descriptor, fresh = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)  # mkstemp makes it 0600
    with os.fdopen(descriptor, "wb") as output:
        output.write(content)
        output.flush()
        os.fsync(output.fileno())
    Path(fresh).replace(file)


def _told(name: str, pair: _Pair, what: str) -> str:
    return f"{name}.pem {what}, valid until {pair.certificate.not_valid_after_utc:%Y-%m-%d}"
