"""A plain HTTPS client of the aggregator: what any program would send, and everything that comes back."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

TIMEOUT_SECONDS = 60.0
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@dataclass(frozen=True)
class Answer:
    """`warnings` are the texts of the Warning headers."""

    status: int
    headers: dict[str, str]
    warnings: tuple[str, ...]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Asks `url` with `token`, trusting `ca`."""

    def __init__(self, url: str, token: str, ca: Path) -> None:
        parts = urlsplit(url)
        self._address = parts.netloc
        self._secure = parts.scheme == "https"
        self._token = token
        self._tls = ssl.create_default_context(cafile=str(ca)) if self._secure else None

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT_SECONDS,
        **parameters: str | int,
    ) -> Answer:
        """Whatever is answered, errors included. Raises OSError when nobody answers."""
        connection = self._connect(timeout)
        try:
            connection.request(method, _with(path, parameters), body, self._headers(headers))
            response = connection.getresponse()
            content = response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()
        warnings = tuple(response.headers.get_all("Warning") or ())
        return Answer(response.status, dict(response.headers), warnings, content)

    def get(self, path: str, *, headers: Mapping[str, str] | None = None, **parameters: str | int) -> Any:
        """The JSON of a 200 answer. Raises AssertionError with the answer for any other."""
        answer = self.ask(_with(path, parameters), headers=headers)
        assert answer.status == 200, f"GET {path} {parameters}: {answer.status} {answer.text[:1000]}"
        return answer.json()

    def table(self, path: str, **parameters: str | int) -> Any:
        return self.get(_with(path, parameters), headers={"Accept": TABLE})

    def pages(self, path: str, *, limit: int = 500, **parameters: str | int) -> Iterator[dict[str, Any]]:
        """The items of all pages of a Kubernetes list."""
        more: dict[str, str | int] = {}
        while True:
            page = self.get(_with(path, {"limit": limit, **more, **parameters}))
            yield from page["items"]
            token = page["metadata"].get("continue")
            if not token:
                return
            more = {"continue": token}

    @contextmanager
    def stream(
        self, path: str, *, timeout: float = TIMEOUT_SECONDS, **parameters: str | int
    ) -> Iterator[Iterator[str]]:
        """The lines of an answer as they come; a silence longer than `timeout` is a TimeoutError."""
        connection = self._connect(timeout)
        try:
            connection.request("GET", _with(path, parameters), headers=self._headers(None))
            response = connection.getresponse()
            if response.status != 200:
                raise AssertionError(f"GET {path}: {response.status} {response.read().decode()[:1000]}")
            yield (line.decode().rstrip("\r\n") for line in response)
        finally:
            connection.close()

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        if self._tls is not None:
            return http.client.HTTPSConnection(self._address, context=self._tls, timeout=timeout)
        return http.client.HTTPConnection(self._address, timeout=timeout)

    def _headers(self, more: Mapping[str, str] | None) -> dict[str, str]:
        identity = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return {**identity, **(more or {})}


def _with(path: str, parameters: Mapping[str, str | int]) -> str:
    if not parameters:
        return path
    return f"{path}{'&' if '?' in path else '?'}{urlencode(parameters)}"
