"""A proxy between agent and aggregator that keeps every byte of both directions, as somebody on the wire would."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from tests.controlplane.pki import Authority

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, bodies as they were on the wire."""

    path: str
    request: bytes
    status: int
    response: bytes


class Recorder:
    """`url` is where the agent goes, trusting `ca`; `exchanges` is what it said and heard."""

    def __init__(self, url: str, ca: Path) -> None:
        self.url = url
        self.ca = ca
        self.exchanges: list[Exchange] = []
        self.lock = threading.Lock()

    def add(self, exchange: Exchange) -> None:
        with self.lock:
            self.exchanges.append(exchange)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    recorder: Recorder

    def handle_error(self, request: object, client_address: object) -> None:
        """A peer that goes away in the middle is nothing to print."""


@contextmanager
def recording(target: str, target_ca: Path, folder: Path) -> Iterator[Recorder]:
    """Forwards everything to `target` until the end of the block."""
    authority = Authority(folder)
    pair = authority.server()
    server = _Server(("127.0.0.1", 0), _handler(target, target_ca))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    recorder = Recorder(f"https://127.0.0.1:{server.server_address[1]}", authority.certificate)
    server.recorder = recorder
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield recorder
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def _handler(target: str, target_ca: Path) -> type[BaseHTTPRequestHandler]:
    address = urlsplit(target).netloc
    tls = ssl.create_default_context(cafile=str(target_ca))

    class Forwarding(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            connection = http.client.HTTPSConnection(address, context=tls, timeout=60)
            try:
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException):
                self.close_connection = True
                return
            finally:
                connection.close()
            self.server.recorder.add(Exchange(self.path, body, answer.status, content))  # type: ignore[attr-defined]
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815 (the base class calls it so)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on stderr: the exchanges are the log."""

    return Forwarding
