from __future__ import annotations

import ssl
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from aggregator import certificates
from aggregator.certificates import ensure_certificates


def _names(file: Path) -> list[str]:
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in found]


def _handshake(ca: Path, cert: Path, key: Path, host: str) -> None:
    """A TLS handshake in memory, so that the checks are those of a real client."""
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_context.load_cert_chain(cert, key)
    client_context = ssl.create_default_context(cafile=str(ca))
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=host)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                continue
        if not waiting:
            return
    raise AssertionError("no handshake")


def test_a_strict_client_trusts_the_server_under_all_its_names(tmp_path: Path) -> None:
    made = ensure_certificates(tmp_path, ["hub.example.com", "10.1.2.3"])
    for host in ("localhost", "127.0.0.1", "::1", "hub.example.com", "10.1.2.3"):
        _handshake(made.ca, made.cert, made.key, host)


def test_another_host_is_not_trusted(tmp_path: Path) -> None:
    made = ensure_certificates(tmp_path, [])
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(made.ca, made.cert, made.key, "hub.example.com")


def test_nothing_changes_when_all_is_good(tmp_path: Path) -> None:
    made = ensure_certificates(tmp_path, ["a.example"])
    before = [path.read_bytes() for path in made]
    ensure_certificates(tmp_path, ["a.example"])
    assert [path.read_bytes() for path in made] == before


def test_new_hosts_renew_the_server_and_keep_the_authority(tmp_path: Path) -> None:
    made = ensure_certificates(tmp_path, ["a.example"])
    authority, server = made.ca.read_bytes(), made.cert.read_bytes()
    ensure_certificates(tmp_path, ["b.example"])
    assert made.ca.read_bytes() == authority
    assert made.cert.read_bytes() != server
    assert "b.example" in _names(made.cert)
    assert "a.example" not in _names(made.cert)


def test_a_certificate_near_its_end_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "_SERVER_LIFE", timedelta(days=20))
    made = ensure_certificates(tmp_path, [])
    old = made.cert.read_bytes()
    monkeypatch.undo()
    ensure_certificates(tmp_path, [])
    assert made.cert.read_bytes() != old


def test_a_damaged_server_certificate_is_replaced(tmp_path: Path) -> None:
    made = ensure_certificates(tmp_path, [])
    made.cert.write_text("half a fi")
    ensure_certificates(tmp_path, [])
    _handshake(made.ca, made.cert, made.key, "localhost")


def test_all_files_are_private(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, [])
    modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.rglob("*") if file.is_file()}
    assert modes == {0o600}


def test_a_lost_authority_key_is_said_not_papered_over(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, [])
    (tmp_path / "tls" / "ca.key").unlink()
    with pytest.raises(ValueError, match=r"ca\.key is missing beside .*ca\.crt"):
        ensure_certificates(tmp_path, [])


def test_a_first_start_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    made = ensure_certificates(tmp_path, [])
    key = (tmp_path / "tls" / "ca.key").read_bytes()
    made.ca.unlink()
    ensure_certificates(tmp_path, [])
    assert (tmp_path / "tls" / "ca.key").read_bytes() == key
    _handshake(made.ca, made.cert, made.key, "localhost")


def test_an_address_to_listen_on_everywhere_is_no_name(tmp_path: Path) -> None:
    assert "0.0.0.0" not in _names(ensure_certificates(tmp_path, ["0.0.0.0", "[::]"]).cert)
