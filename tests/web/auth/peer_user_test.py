"""The user at the other end of a loopback connection, as Linux knows it."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacifica.dispatcher.web.auth import peer_user
from pacifica.dispatcher.web.auth.peer_user import is_proxy, uid_of_peer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows the user of a socket")


@pytest.fixture(params=["127.0.0.1", "::1"])
def connection(request: pytest.FixtureRequest) -> Iterator[tuple[str, int, int]]:
    """Address and port of the client of a connection, and the port of its server."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family) as server:
        server.bind((request.param, 0))
        server.listen()
        own_port = server.getsockname()[1]
        with socket.create_connection((request.param, own_port)), server.accept()[0] as accepted:
            yield request.param, accepted.getpeername()[1], own_port


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of users in place of the machine's."""
    path = tmp_path / "passwd"
    monkeypatch.setattr(peer_user, "PASSWD", path)
    monkeypatch.setattr(peer_user, "KEPT", 0.0)
    return path


def test_user_of_a_connection_is_known(connection: tuple[str, int, int]) -> None:
    address, port, own_port = connection
    assert uid_of_peer(address, port, own_port) == os.getuid()
    if address == "127.0.0.1":  # as a server at [::] sees it
        assert uid_of_peer(f"::ffff:{address}", port, own_port) == os.getuid()
    assert uid_of_peer(address, own_port, port) == os.getuid()
    for unknown in ((address, port, 1), ("nonsense", port, own_port), (address, -1, own_port), (address, 70_000, 1)):
        assert uid_of_peer(*unknown) is None


def test_proxy_is_known_by_the_name_of_its_user(connection: tuple[str, int, int], users: Path) -> None:
    users.write_text(f"root:x:0:0\nbroken\nwww-data:x:{os.getuid()}:33:www-data:/var/www:/sbin/nologin\n")
    assert is_proxy(*connection)


def test_proxy_that_is_installed_later_is_known(connection: tuple[str, int, int], users: Path) -> None:
    users.write_text("root:x:0:0\n")
    os.utime(users, (1, 1))
    assert not is_proxy(*connection)
    users.write_text(f"caddy:x:{os.getuid()}:33\n")
    assert is_proxy(*connection)


def test_user_without_a_name_is_a_proxy(
    connection: tuple[str, int, int], users: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users.write_text("root:x:0:0:root:/root:/bin/sh\n")
    monkeypatch.setattr(peer_user, "NAMELESS", os.getuid())
    assert is_proxy(*connection)


@pytest.mark.parametrize("text", ["alice:x:{}:1\n", "www-data:x:4711:33\n", "www-data:x:+:33\n", ""])
def test_other_users_are_no_proxies(connection: tuple[str, int, int], users: Path, text: str) -> None:
    users.write_text(text.format(os.getuid()))
    assert not is_proxy(*connection)


def test_without_a_list_of_users_no_proxy_is_known(connection: tuple[str, int, int], users: Path) -> None:
    assert not is_proxy(*connection)
