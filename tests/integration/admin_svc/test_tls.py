"""TLS at both doors."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import grpc
import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from admin_svc.settings import Settings
from tests.integration.admin_svc.conftest import ADMIN_TOKEN, ENVIRONMENT, WithToken, running_admin
from trunkline.rpc import ROUTER_NAME
from trunkline.settings import SettingsError, read
from trunkline.v1 import admin_pb2 as pb


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost and routers that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.DNSName(ROUTER_NAME)]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


async def test_both_doors_speak_tls_when_there_is_a_certificate(migrated_dsn: str, tmp_path: Path) -> None:
    """And plaintext no longer."""
    path, key = certificate(tmp_path)
    async with running_admin(migrated_dsn, TRUNKLINE_TLS_CERT=str(path), TRUNKLINE_TLS_KEY=str(key)) as admin:
        port = admin.running.http_address.rpartition(":")[2]
        trusting = ssl.create_default_context(cafile=path)
        headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
        async with httpx2.AsyncClient(verify=trusting, headers=headers) as https:
            assert (await https.get(f"https://localhost:{port}/api/v1/groups")).status_code == 200
        with pytest.raises(httpx2.TransportError):
            await admin.http.get("/api/v1/groups")
        target = "localhost:" + admin.running.grpc_address.rpartition(":")[2]
        async with grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(path.read_bytes())) as channel:
            assert (await WithToken(channel, ADMIN_TOKEN).ListGroups(pb.ListGroupsRequest())).groups


def test_plaintext_beyond_loopback_must_be_asked_for_at_each_door() -> None:
    """The admin token would travel in the clear."""
    environment = ENVIRONMENT | {"TRUNKLINE_DSN": "x", "TRUNKLINE_ADMIN_HTTP_LISTEN": "0.0.0.0:0"}
    with pytest.raises(SettingsError, match="TRUNKLINE_ADMIN_HTTP_LISTEN"):
        read(Settings, environment)
    assert read(Settings, environment | {"TRUNKLINE_ALLOW_PLAINTEXT": "true"}).https() == {}
