"""Whether a proxy sent a request, judged by the user of the process at the other end of a loopback connection.

Some proxies forward a request with nothing that distinguishes it from a local program's: nginx since 1.29.7 with a
plain ``proxy_pass``, and HAProxy. Linux knows the user of each socket, and proxies run as users of their own.
"""

import socket
import struct
import time
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path

USERS = frozenset(
    {
        *("_nginx", "apache", "caddy", "envoy", "haproxy", "hitch", "http", "httpd", "lighttpd", "nginx"),
        *("proxy", "squid", "stunnel", "stunnel4", "traefik", "varnish", "vcache", "www-data", "wwwrun"),
    }
)
"""The names of these users in Linux distributions and containers."""
NAMELESS = 65_534
"""The user that nginx built from its source runs as, and that programs of other user namespaces seem to run as."""
PASSWD = Path("/etc/passwd")
KEPT = 1.0
"""Seconds for which the answer about a connection is kept."""
MOST_KEPT = 1000
_DIAG, _BY_FAMILY, _ERROR, _ONE = 4, 20, 2, 1
_HEADER, _REQUEST, _ANSWER = (struct.Struct(form) for form in ("=IHHII", "=IHHIIBBBBIHH16s16sIII", "=IHHIIBBBB48sIIII"))
"""``nlmsghdr``, alone and followed by ``inet_diag_req_v2`` and by ``inet_diag_msg``. Source: sock_diag(7)."""
_ANY = (0, 0xFFFFFFFF, 0xFFFFFFFF)
_seen: dict[tuple[str, int, int], tuple[float, bool]] = {}


def is_proxy(address: str, port: int, own_port: int) -> bool:
    """Whether the process that connected from this loopback address and port to ``own_port`` runs as a proxy's user.

    False if that is not known: on other systems, in other containers, and for other users.
    """
    now, key = time.monotonic(), (address, port, own_port)
    kept = _seen.get(key)
    if kept is not None and now < kept[0] + KEPT:
        return kept[1]
    found = uid_of_peer(address, port, own_port) in _uids()
    if len(_seen) >= MOST_KEPT:
        _seen.clear()
    _seen[key] = now, found
    return found


def uid_of_peer(address: str, port: int, own_port: int) -> int | None:
    """The user of the socket at this address and port that is connected to ``own_port`` of the same address."""
    try:
        ip = ip_address(address.removeprefix("::ffff:"))
        family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
        end, ports = ip.packed.ljust(16, b"\0"), (socket.htons(port), socket.htons(own_port))
        kind = (family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF)
        request = _REQUEST.pack(_REQUEST.size, _BY_FAMILY, _ONE, 0, 0, *kind, *ports, end, end, *_ANY)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _DIAG) as kernel:
            kernel.sendto(request, (0, 0))
            answer = kernel.recv(4096, socket.MSG_DONTWAIT)
    except (OSError, OverflowError, ValueError, AttributeError):  # Only Linux has AF_NETLINK.
        return None
    if len(answer) < _ANSWER.size or _HEADER.unpack_from(answer)[1] == _ERROR:
        return None
    uid: int = _ANSWER.unpack_from(answer)[-1]
    return uid


def _uids() -> frozenset[int]:
    """The ids of these users on this machine; read from the file, as a directory service may be slow."""
    try:
        return _read(PASSWD, PASSWD.stat().st_mtime_ns)
    except OSError:
        return frozenset()


@lru_cache(maxsize=1)
def _read(path: Path, _changed: int) -> frozenset[int]:
    lines = [line for line in path.read_text("utf-8", "replace").splitlines() if line.count(":") > 2]
    users = (line.split(":") for line in lines)
    return frozenset({NAMELESS, *(int(uid) for name, _, uid, *_ in users if name in USERS and uid.isdecimal())})
