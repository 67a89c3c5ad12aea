"""Who may talk to the page's server: Host and Origin of a request.

A page of another site must not reach the microphone through a visitor's browser, nor by making its
own name point here (DNS rebinding). So the Host must be a name of ours or an IP address, and the
Origin of a WebSocket, where the browser gives one, must be that same Host.
"""

import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Whether an address to listen at can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class AllowedHosts:
    """host: the address that is listened at; names: further names of this server."""

    def __init__(self, host: str, names: Collection[str] = ()) -> None:
        self._names = {*LOOPBACK, host.lower(), *(name.lower() for name in names)}
        self._public = not is_loopback(host)
        if self._public:
            self._names.add(socket.gethostname().lower())

    def host_is_ours(self, host: str) -> bool:
        """Of the Host header, with its port."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        return name in self._names or (self._public and _is_address(name))

    def origin_is_ours(self, origin: str | None, host: str) -> bool:
        """Of the Origin header of a WebSocket; a program that is no browser sends none."""
        if not self.host_is_ours(host):
            return False
        if origin is None:
            return True
        try:
            return urlsplit(origin).netloc.lower() == host.lower()
        except ValueError:
            return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
