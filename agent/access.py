"""Where an API server (or the aggregator) is, and what one shows and trusts to speak with it."""

from __future__ import annotations

import os
import ssl
import tempfile
from dataclasses import dataclass, field
from typing import Final

from agent.files import Inline, Source, WatchedFile
from agent.proxies import proxy_for

SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"


class AccessError(Exception):
    """The credentials cannot be used; the message says which and why."""


@dataclass
class Access:
    """`server`: URL without a trailing slash. `server_name`: name to check the certificate for, where it is not the
    URL's. Token, certificate and CAs are read again when they change; a changed TLS setup takes new connections."""

    server: str
    ca: Source | None = None
    token: Source | None = None
    basic: str = field(default="", repr=False)
    certificate: Source | None = None
    key: Source | None = None
    insecure: bool = False
    server_name: str = ""
    proxy: str | None = None
    in_cluster: bool = False
    _context: ssl.SSLContext | None = field(default=None, init=False, repr=False)
    _stamp: object = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.server = self.server.rstrip("/")
        if not self.proxy and not self.in_cluster:
            self.proxy = proxy_for(self.server, os.environ)

    def headers(self) -> dict[str, str]:
        """Raises OSError where the token file cannot be read."""
        if self.token is not None:
            return {"Authorization": f"Bearer {self.token.read().decode().strip()}"}
        return {"Authorization": f"Basic {self.basic}"} if self.basic else {}

    def tls(self) -> ssl.SSLContext | bool:
        """Raises AccessError where a certificate, key or CA is no such thing."""
        if not self.server.startswith("https://"):
            return True
        stamp = tuple(source and source.stamp for source in (self.ca, self.certificate, self.key))
        if self._context is None or stamp != self._stamp:
            self._context = self._new_context()
            self._stamp = stamp
        return self._context

    async def prepare(self, *, refused: bool = False) -> None:
        """Before each request, and (`refused`) after a 401. Files are read again by themselves; plugins override it."""

    def _new_context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cadata=self.ca.read().decode() if self.ca else None)
        except (ssl.SSLError, ValueError) as error:
            raise AccessError(f"the CA for {self.server} is not a PEM certificate: {error}") from error
        # Clusters' own CAs often lack the key usage extension that Python 3.13 and later demand.
        context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate and self.key:
            self._load_certificate(context, self.certificate.read(), self.key.read())
        return context

    def _load_certificate(self, context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
        # The ssl module reads certificates from files only; ours lives for a moment and is readable by us alone.
        with tempfile.NamedTemporaryFile(prefix="fleetpedia-agent-") as both:
            both.write(certificate + b"\n" + key)
            both.flush()
            try:
                context.load_cert_chain(both.name)
            except ssl.SSLError as error:
                raise AccessError(f"the client certificate for {self.server} cannot be used: {error}") from error


def in_cluster(folder: str | None = None) -> Access:
    """The API server of the cluster that this process runs in, by its pod's service account.

    `folder`: where token and CA lie, else FLEETPEDIA_AGENT_SERVICE_ACCOUNT, else Kubernetes' own place."""
    folder = folder or os.environ.get("FLEETPEDIA_AGENT_SERVICE_ACCOUNT") or SERVICE_ACCOUNT
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise AccessError(
            "this is no pod (KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set); "
            "outside a cluster name one with --kubeconfig FILE --context NAME"
        )
    token, ca = WatchedFile(f"{folder}/token"), WatchedFile(f"{folder}/ca.crt")
    for file in (token, ca):
        if not file.path.exists():
            raise AccessError(f"the pod has no {file.path}; its service account token must be mounted")
    host = f"[{host}]" if ":" in host else host
    return Access(f"https://{host}:{port}", ca=ca, token=token, in_cluster=True)


def inline(text: str | bytes | None) -> Source | None:
    if not text:
        return None
    return Inline(text.encode() if isinstance(text, str) else text)
