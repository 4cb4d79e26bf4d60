"""HTTPS_PROXY, HTTP_PROXY and NO_PROXY as Go programs read them: suffixes, addresses, CIDRs; never for loopback."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy to reach `url` through, None = directly."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    name = f"{parts.scheme}_proxy"
    proxy = environ.get(name) or environ.get(name.upper())
    if not proxy or _bypassed(host, parts.port, environ.get("no_proxy") or environ.get("NO_PROXY") or ""):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _bypassed(host: str, port: int | None, no_proxy: str) -> bool:
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_covers(entry.strip().lower(), host, address, port) for entry in no_proxy.split(",") if entry.strip())


def _covers(entry: str, host: str, address: Address | None, port: int | None) -> bool:
    if entry == "*":
        return True
    if address is not None:
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            pass
    name, colon, entry_port = entry.rpartition(":")
    if colon and entry_port.isdigit():
        if str(port) != entry_port:
            return False
        entry = name
    bare = entry.lstrip("*").lstrip(".")
    return (host == bare and not entry.startswith(".")) or host.endswith(f".{bare}")


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
