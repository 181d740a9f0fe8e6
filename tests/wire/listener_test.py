"""The Unix socket of a server."""

import errno
from contextlib import closing
from pathlib import Path

import pytest

from pacifica.dispatcher.web.server.listener import listen_at_path


def test_socket_of_a_running_server_is_not_taken(tmp_path: Path) -> None:
    path = str(tmp_path / "http.sock")
    with closing(listen_at_path(path, 5)):
        with pytest.raises(OSError, match=r"http\.sock") as refused:
            listen_at_path(path, 5)
        assert refused.value.errno == errno.EADDRINUSE
    assert Path(path).is_socket()
    listen_at_path(path, 5).close()
