"""A plain client of the API server for tests: JSON in, JSON out, by client certificate."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.controlplane.pki import KeyPair

TIMEOUT_SECONDS = 30.0


class ApiError(Exception):
    """An answer that is not 2xx; `status` is the HTTP code, `body` what came with it."""

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        super().__init__(f"{method} {path}: {status} {body[:500]}")
        self.status = status
        self.body = body


class Api:
    """Asks the API server at `server` as the user of `client` (None: anonymous)."""

    def __init__(self, server: str, ca: Path, client: KeyPair | None = None, token: str | None = None) -> None:
        self._address = urlsplit(server).netloc
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._tls = ssl.create_default_context(cafile=str(ca))
        if client is not None:
            self._tls.load_cert_chain(client.certificate, client.key)

    def text(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = TIMEOUT_SECONDS,
    ) -> str:
        """The body of a 2xx answer. Raises ApiError for others, OSError when the server is away."""
        connection = http.client.HTTPSConnection(self._address, context=self._tls, timeout=timeout)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": content_type, "Accept": accept, **self._headers})
            response = connection.getresponse()
            content = response.read().decode()
        except http.client.HTTPException as error:
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()
        if not 200 <= response.status < 300:
            raise ApiError(method, path, response.status, content)
        return content

    def open(self, path: str, *, timeout: float) -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
        """A GET whose answer is read as it comes (a watch); the caller closes the connection."""
        connection = http.client.HTTPSConnection(self._address, context=self._tls, timeout=timeout)
        connection.request("GET", path, headers=self._headers)
        return connection, connection.getresponse()

    def get(self, path: str) -> Any:
        return json.loads(self.text("GET", path))

    def create(self, path: str, body: Any) -> Any:
        return json.loads(self.text("POST", path, body))

    def replace(self, path: str, body: Any) -> Any:
        return json.loads(self.text("PUT", path, body))

    def patch(self, path: str, body: Any) -> Any:
        """A JSON merge patch."""
        return json.loads(self.text("PATCH", path, body, content_type="application/merge-patch+json"))

    def delete(self, path: str) -> Any:
        return json.loads(self.text("DELETE", path))
