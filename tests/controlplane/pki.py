"""Throw-away certificates of one control plane: a CA, what it signs, and the key of service accounts."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS = 7
_PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class KeyPair:
    """PEM files of a certificate and its private key."""

    certificate: Path
    key: Path


class Authority:
    """A CA whose files lie in `folder`; everything it issues goes there as well."""

    def __init__(self, folder: Path, name: str = "fleetpedia-test-ca") -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(name, ())
        usage = _usage(digital_signature=False, key_cert_sign=True)
        extensions = [(x509.BasicConstraints(ca=True, path_length=0), True), (usage, True)]
        self._certificate = self._sign(subject, subject, self._key.public_key(), extensions)
        self.certificate = folder / "ca.crt"
        self.certificate.write_bytes(self._certificate.public_bytes(_PEM))

    def server(self, name: str = "server") -> KeyPair:
        """A server certificate for 127.0.0.1 and localhost."""
        names = x509.SubjectAlternativeName(
            [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
        )
        return self._issue(name, _subject("localhost", ()), ExtendedKeyUsageOID.SERVER_AUTH, [(names, False)])

    def client(self, user: str, groups: tuple[str, ...] = ()) -> KeyPair:
        """A client certificate: to Kubernetes the common name is the user, the organizations its groups."""
        return self._issue(user, _subject(user, groups), ExtendedKeyUsageOID.CLIENT_AUTH, [])

    def signing_key(self, name: str = "service-accounts") -> Path:
        """An RSA key that signs service account tokens."""
        path = self.folder / f"{name}.key"
        _write_key(path, rsa.generate_private_key(public_exponent=65537, key_size=2048))
        return path

    def _issue(
        self,
        name: str,
        subject: x509.Name,
        purpose: x509.ObjectIdentifier,
        extensions: list[tuple[x509.ExtensionType, bool]],
    ) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        authority = self._key.public_key()
        everything: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(digital_signature=True, key_cert_sign=False), True),
            (x509.ExtendedKeyUsage([purpose]), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), False),
            *extensions,
        ]
        certificate = self._sign(subject, self._certificate.subject, key.public_key(), everything)
        pair = KeyPair(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        pair.certificate.write_bytes(certificate.public_bytes(_PEM))
        _write_key(pair.key, key)
        return pair

    def _sign(
        self,
        subject: x509.Name,
        issuer: x509.Name,
        public_key: ec.EllipticCurvePublicKey,
        extensions: list[tuple[x509.ExtensionType, bool]],
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self._key, hashes.SHA256())


def _subject(common_name: str, organizations: tuple[str, ...]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, digital_signature: bool, key_cert_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
