"""Where the server of an `up` listens: checked before anything is started, so that the message is a clear one."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final, NamedTuple

from schema.errors import BadRequest, Conflict

DEFAULT_HOST: Final = "127.0.0.1"


class Address(NamedTuple):
    """`port` 0: a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Where clients on this machine find it."""
        host = self.host
        try:
            if ipaddress.ip_address(host).is_unspecified:
                host = "127.0.0.1"
        except ValueError:
            pass
        return f"https://{Address(host, self.port)}"


ANYWHERE: Final = Address(DEFAULT_HOST, 0)


def parse_address(text: str) -> Address:
    """HOST:PORT, :PORT or [v6]:PORT. Raises BadRequest."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise BadRequest(f"--listen {text!r}: must be HOST:PORT, e.g. 127.0.0.1:8443; port 0 is a free one")
    return Address(host.strip("[]") or DEFAULT_HOST, int(port))


def choose_address(wanted: Address, last_port: int) -> Address:
    """`wanted` with a port that is free now: its own, else the last one, else any. Raises Conflict for a port in use,
    BadRequest for a host that is not this machine's."""
    if wanted.port:
        if not _is_free(wanted):
            raise Conflict(
                f"{wanted} is in use by another process; give another --listen HOST:PORT (port 0: a free one)"
            )
        return wanted
    if last_port and _is_free(wanted._replace(port=last_port)):
        return wanted._replace(port=last_port)
    with _bound(wanted) as opened:
        return wanted._replace(port=opened.getsockname()[1])


def _is_free(address: Address) -> bool:
    try:
        _bound(address).close()
    except Conflict:
        return False
    return True


def _bound(address: Address) -> socket.socket:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise BadRequest(f"--listen {address}: {error.strerror or error}") from error
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: no wait for old connections
        opened.bind(where)
        opened.listen(1)
    except PermissionError as error:
        opened.close()
        raise BadRequest(f"--listen {address}: this user may not listen there ({error.strerror})") from error
    except OSError as error:
        opened.close()
        if address.port:
            raise Conflict(str(error)) from error
        raise BadRequest(f"--listen {address}: {error.strerror or error}") from error
    return opened
