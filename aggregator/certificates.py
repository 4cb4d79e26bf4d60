"""The certificate authority of one installation and the certificate of its server.

kubectl sends no credentials over plain HTTP, so `up` needs TLS on loopback too. The authority is made once per data
folder and kept, so that kubeconfigs stay valid; the server's certificate is renewed when it nears its end or when the
hosts that it must speak for change."""

from __future__ import annotations

import ipaddress
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from aggregator.files import write_private

_AUTHORITY_LIFE: Final = timedelta(days=20 * 365)
_SERVER_LIFE: Final = timedelta(days=365)
_RENEW_BEFORE: Final = timedelta(days=60)
_CLOCK_SKEW: Final = timedelta(hours=1)


class Certificates(NamedTuple):
    """Paths of PEM files: the authority's certificate, the server's certificate and its key."""

    ca: Path
    cert: Path
    key: Path


class _Authority(NamedTuple):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def ensure_certificates(data: Path, hosts: list[str]) -> Certificates:
    """Make what is missing, renew what nears its end, keep the rest. `hosts`: names and addresses of the server beside
    127.0.0.1, ::1, localhost and this machine's name. Raises ValueError for files that are not what they should be."""
    folder = data / "tls"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths = Certificates(data / "ca.crt", folder / "server.crt", folder / "server.key")
    authority = _authority(paths.ca, folder / "ca.key")
    names = _names(hosts)
    if not _is_good(paths, authority, names):
        _issue(paths, authority, names)
    return paths


def _authority(certificate_file: Path, key_file: Path) -> _Authority:
    if not key_file.exists():
        if certificate_file.exists():
            raise ValueError(
                f"{key_file} is missing beside {certificate_file}; bring it back, or delete {certificate_file} to make "
                "a new authority (agents elsewhere then need the new ca.crt)"
            )
        write_private(key_file, _pem(ec.generate_private_key(ec.SECP256R1())))
    key = _key(key_file)
    if certificate_file.exists():
        try:
            certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        except ValueError as error:
            raise ValueError(f"{certificate_file} is damaged ({error}); delete it to have it made anew") from error
        if key.public_key() != certificate.public_key():
            raise ValueError(f"{key_file} is not the key of {certificate_file}; bring back the one that belongs to it")
        return _Authority(certificate, key)
    name = _name(f"fleetpedia {socket.gethostname()}")
    certificate = (
        _builder(name, name, key, _AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))
    return _Authority(certificate, key)


def _key(file: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except ValueError as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{file} holds no elliptic-curve key")
    return key


def _is_good(paths: Certificates, authority: _Authority, names: list[x509.GeneralName]) -> bool:
    """True when the server's certificate can serve on: ours, for these names, with its key, and not near its end."""
    try:
        certificate = x509.load_pem_x509_certificate(paths.cert.read_bytes())
        key = serialization.load_pem_private_key(paths.key.read_bytes(), password=None)
        certificate.verify_directly_issued_by(authority.certificate)
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # whatever is wrong with it, a new one is the answer
        return False
    return (
        key.public_key() == certificate.public_key()
        and list(found) == names
        and certificate.not_valid_after_utc - datetime.now(UTC) > _RENEW_BEFORE
    )


def _issue(paths: Certificates, authority: _Authority, names: list[x509.GeneralName]) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name("fleetpedia"), authority.certificate.subject, key, _SERVER_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    write_private(paths.key, _pem(key))
    write_private(paths.cert, certificate.public_bytes(serialization.Encoding.PEM))


def _names(hosts: list[str]) -> list[x509.GeneralName]:
    """Without repetition, the fixed ones first; a wildcard address to listen on is no name of a server."""
    wanted = ["localhost", "127.0.0.1", "::1", socket.gethostname(), *hosts]
    names: list[x509.GeneralName] = []
    for host in wanted:
        name = _general_name(host.strip("[]"))
        if name is not None and name not in names:
            names.append(name)
    return names


def _general_name(host: str) -> x509.GeneralName | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return x509.DNSName(host) if host else None
    return None if address.is_unspecified else x509.IPAddress(address)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + life)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
