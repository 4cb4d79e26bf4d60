"""Where the aggregator listens, with which certificate, and how others learn of it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aggregator.certificates import ensure_certificates
from aggregator.files import write_private
from aggregator.settings import Settings
from aggregator.supervise.folder import DataFolder
from aggregator.supervise.kubeconfig import write_kubeconfig
from schema.errors import Unprocessable

BACKLOG: Final = 1024


@dataclass(frozen=True)
class Endpoint:
    """`url`: for others; `local`: for this machine. `ca`: to be trusted for it, None where the system's are right."""

    url: str
    local: str
    ca: Path | None
    context: ssl.SSLContext

    @contextmanager
    def told(self, folder: DataFolder) -> Iterator[None]:
        """The data folder says where we are for as long as we are there."""
        if self.ca is not None and not folder.kubeconfig.exists():
            write_kubeconfig(folder.kubeconfig, self.url, self.ca.read_bytes(), folder.admin_token(), [])
        write_private(folder.endpoint, f"{self.url}\n")
        try:
            yield
        finally:
            folder.endpoint.unlink(missing_ok=True)


def endpoint(settings: Settings, port: int) -> Endpoint:
    """`port`: what we are bound to. TLS always: kubectl sends no credentials over plain HTTP. Raises Unprocessable."""
    host = settings.listen.rpartition(":")[0]
    local = f"https://{'127.0.0.1' if host in ('0.0.0.0', '[::]') else host}:{port}"
    url = settings.external_url.rstrip("/") or local
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if settings.tls_cert and settings.tls_key:
        try:
            context.load_cert_chain(settings.tls_cert, settings.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise Unprocessable(f"--tls-cert {settings.tls_cert} and its --tls-key do not load: {error}") from error
        own = settings.data / "ca.crt"
        return Endpoint(url, local, own if own.exists() else None, context)
    hosts = [host.strip("[]"), urlsplit(url).hostname or ""]
    try:
        made = ensure_certificates(settings.data, [name for name in hosts if name])
    except ValueError as error:
        raise Unprocessable(str(error)) from error
    context.load_cert_chain(made.cert, made.key)
    return Endpoint(url, local, made.ca, context)


@contextmanager
def bound(listen: str) -> Iterator[socket.socket]:
    """A listening socket on HOST:PORT. Raises Unprocessable for a port in use or a host that is not this machine's."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        opened = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Unprocessable(f"--listen {listen}: {error.strerror or error}") from error
    with opened:
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(address)
            opened.listen(BACKLOG)
        except OSError as error:
            raise Unprocessable(
                f"cannot listen on {listen}: {error.strerror}; give another --listen HOST:PORT"
            ) from error
        opened.setblocking(False)
        yield opened
