"""Certificates: one that is not trusted ends the call at once, before the credential is sent."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.unit.client import stage as play
from tests.unit.client.stage import Stage

from cpmqr.client import AsyncWallet, Attempt, QrData, Wallet
from cpmqr.errors import Unreachable

Ask = Callable[..., QrData]


def certificate(folder: Path, name: x509.GeneralName) -> tuple[Path, Path]:
    """Make a certificate that signs itself, for one name; give its file and its key's."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a gateway of the tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files


def ask_in_line(gateway: Any, observe: Callable[[Attempt], None]) -> QrData:
    with Wallet(gateway, observe=observe) as wallet:
        return wallet.request_qr(pan=play.PAN)


def ask_async(gateway: Any, observe: Callable[[Attempt], None]) -> QrData:
    async def call() -> QrData:
        async with AsyncWallet(gateway, observe=observe) as wallet:
            return await wallet.request_qr(pan=play.PAN)

    return asyncio.run(call())


@pytest.mark.parametrize("ask", [ask_in_line, ask_async], ids=["Wallet", "AsyncWallet"])
@pytest.mark.parametrize(
    ("name", "bundled", "trusted"),
    [
        (x509.IPAddress(ipaddress.ip_address("127.0.0.1")), True, True),
        (x509.IPAddress(ipaddress.ip_address("127.0.0.1")), False, False),
        (x509.DNSName("paygw.example"), True, False),
    ],
    ids=["trusted", "signed by nobody known", "of another host"],
)
def test_a_certificate_is_trusted_or_nothing_is_sent(
    tmp_path: Path, ask: Ask, name: x509.GeneralName, bundled: bool, trusted: bool
) -> None:
    cert, key = certificate(tmp_path, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    attempts: list[Attempt] = []
    with Stage([play.success()], tls=context) as stage:
        gateway = stage.gateway(ca_bundle=str(cert) if bundled else "")
        if trusted:
            assert ask(gateway, attempts.append).base64 == play.CPMQR_DATA
        else:
            with pytest.raises(Unreachable, match="certificate"):
                ask(gateway, attempts.append)
            assert stage.seen == []
        assert len(attempts) == 1
