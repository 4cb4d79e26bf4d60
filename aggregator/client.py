"""A small blocking HTTP client of our own REST API, for the command line and for `up`. Standard library only: quick to
import."""

from __future__ import annotations

import http.client
import ipaddress
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit


class ApiError(Exception):
    """The server refused. `status`: HTTP."""

    def __init__(self, status: int, message: str, reason: str = "", details: Any = None):
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason
        self.details = details


class UnreachableError(Exception):
    """No answer: nobody listens, TLS fails, or it takes too long."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    warnings: tuple[str, ...] = ()

    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


@dataclass
class Client:
    """`server`: URL without a trailing slash, may have a path. `ca`: path of a PEM file; None: the system's."""

    server: str
    token: str
    ca: str | None = None
    _opener: urllib.request.OpenerDirector | None = field(default=None, repr=False)

    def get(self, path: str, query: Mapping[str, Any] | None = None, **options: Any) -> Any:
        return self.request("GET", path, query=query, **options).json()

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        return self.request("POST", path, body=body, **options).json()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        accept: str = "application/json",
        content_type: str = "application/json",
        timeout: float = 60.0,
    ) -> Answer:
        """`path` is quoted already. `body` is sent as JSON, bytes as they are. Raises ApiError, UnreachableError."""
        url = self.server + path
        if query:
            url += "?" + urlencode({name: value for name, value in query.items() if value is not None}, doseq=True)
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Accept": accept}
        if data is not None:
            headers["Content-Type"] = content_type
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with self._open(request, timeout) as answer:
                return _answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            raise _api_error(error.code, error.read()) from None
        except urllib.error.URLError as error:
            raise UnreachableError(f"{self.server} does not answer: {_cause(error.reason)}") from error
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(f"{self.server} does not answer: {_cause(error)}") from error

    def _open(self, request: urllib.request.Request, timeout: float) -> Any:
        if self._opener is None:
            handlers: list[urllib.request.BaseHandler] = []
            parts = urlsplit(self.server)
            if parts.scheme == "https":
                handlers.append(urllib.request.HTTPSHandler(context=self._tls()))
            if _is_loopback(parts.hostname or ""):  # a proxy has another loopback
                handlers.append(urllib.request.ProxyHandler({}))
            self._opener = urllib.request.build_opener(*handlers)
        return self._opener.open(request, timeout=timeout)

    def _tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            raise UnreachableError(f"the certificate authority {self.ca} cannot be read: {error}") from error


def segment(text: str) -> str:
    """One segment of a path."""
    return quote(text, safe="")


def _answer(status: int, headers: Any, body: bytes) -> Answer:
    warnings = tuple(_warning_text(value) for value in headers.get_all("Warning") or ())
    return Answer(status, dict(headers.items()), body, warnings)


def _warning_text(header: str) -> str:
    """`299 - "text"`, as Kubernetes sends them."""
    _, _, text = header.partition('"')
    return text.rstrip('"').replace('\\"', '"') if text else header


def _api_error(status: int, body: bytes) -> ApiError:
    try:
        content = json.loads(body)
        return ApiError(status, str(content["message"]), str(content.get("reason", "")), content.get("details"))
    except (ValueError, KeyError, TypeError):
        return ApiError(status, f"HTTP {status}: {body[:300].decode(errors='replace').strip() or 'no reason given'}")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _cause(error: object) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); give its authority with --ca"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or repr(error)
