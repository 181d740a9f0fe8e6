"""The socket at which a server listens."""

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """Listen at an address, or with an empty host at all of IPv4; raises ``OSError``."""
    if ":" in host:
        both = host == "::" and socket.has_dualstack_ipv6()
        made = socket.create_server((host, port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=both)
    else:
        made = socket.create_server((host, port), backlog=backlog)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # Accepted sockets inherit it.
    return made


def listen_at_path(path: str, backlog: int) -> socket.socket:
    """Listen at a Unix socket, in place of one that an earlier server has left behind; raises ``OSError``."""
    made = socket.socket(socket.AF_UNIX)
    with suppress(FileNotFoundError):
        if Path(path).is_socket():
            if _is_served(path):
                made.close()
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), path)
            Path(path).unlink()
    made.bind(path)
    made.listen(backlog)
    return made


def _is_served(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1.0)
        try:
            client.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # Such as a full queue.
            pass
        return True
