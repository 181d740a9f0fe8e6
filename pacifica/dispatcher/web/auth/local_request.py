"""Whether a request comes from a program on this machine, or perhaps from a proxy on it that forwards for others."""

import re
from functools import lru_cache
from typing import Any

from ...core.errors import BadRequest
from ...core.permissions import is_loopback
from . import peer_user

FORWARDED = frozenset(
    {
        *("Cdn-Loop", "Client-Ip", "Forwarded", "Forwarded-For", "Remote-User", "True-Client-Ip", "Via", "X-Client-Ip"),
        *("X-Cluster-Client-Ip", "X-Host", "X-Proxyuser-Ip", "X-Real-Ip", "X-Remote-User", "X-Rewrite-Url", "X-Scheme"),
        *("X-Script-Name", "X-Url-Scheme"),
    }
)
FORWARDED_PREFIXES = ("Cf-", "Fastly-", "Fly-", "X-Amzn-", "X-Azure-", "X-Envoy-", "X-Forwarded", "X-Original-")
"""The headers that proxies add, and the beginnings of others, in title case."""
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._~-]*)(?::([0-9]{0,5}))?")


@lru_cache(maxsize=64)
def host_name(host: str) -> str:
    """The name in a ``Host`` header, in lower case, without port; an IPv6 address keeps its brackets.

    Raises ``BadRequest`` for anything but a name and a port, which two programs could read differently.
    """
    found = _HOST.fullmatch(host.strip().lower())
    if found is None or int(found[2] or 0) > 65_535:
        raise BadRequest(f"The header Host is {host[:191]!r}. It must be a name or an address, and may have a port.")
    return found[1]


def sign_of_proxy(request: Any, address: str) -> str | None:
    """Why the request may come from another machine, as a clause; ``None`` if a program on this machine sent it.

    A proxy that adds no header, speaks HTTP/1.1 and runs as a user of another name cannot be distinguished from it.
    """
    if not is_loopback(address):
        return f"it comes from {address}" if address else "the address of its sender is not known"
    for name in request.headers:
        if name in FORWARDED or name.startswith(FORWARDED_PREFIXES):
            return f"it has the header {name}, which proxies add"
    if request.protocol < (1, 1):
        return "it uses HTTP/1.0, as proxies do"
    if not is_loopback(host_name(request.headers.get("Host", ""))):
        return "its Host is not localhost or an address of this machine"
    if peer_user.is_proxy(address, request.remote.port, request.local.port):
        return "the program that sent it runs as the user of a proxy"
    return None
