"""Whether a component says that it is ready."""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from pathlib import Path

TIMEOUT_SECONDS = 5.0


def is_healthy(url: str, ca: Path) -> bool:
    """True for a 200 of `url`; False for any other answer and for none."""
    tls = ssl.create_default_context(cafile=str(ca)) if url.startswith("https:") else None
    # No proxy: a developer's HTTPS_PROXY is not the way to loopback.
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if tls is not None:
        handlers.append(urllib.request.HTTPSHandler(context=tls))
    try:
        with urllib.request.build_opener(*handlers).open(url, timeout=TIMEOUT_SECONDS) as response:
            return bool(response.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except (OSError, http.client.HTTPException):
        return False
