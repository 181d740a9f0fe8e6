"""What is made once for all requests is made anew when what it was made of changes."""

from collections.abc import Iterator
from typing import Any

import cherrypy
import pytest

from pacifica.dispatcher.web.dispatcher import PathDispatcher
from pacifica.dispatcher.web.request_classes import DispatcherApplication


@cherrypy.expose
class Leaf:
    """``/leaf``"""

    def GET(self, name: str = "") -> bytes:
        return name.encode()


@cherrypy.expose
class Tree:
    """``/``"""

    def __init__(self) -> None:
        self.leaf = Leaf()
        self._hidden = Leaf()

    def GET(self) -> bytes:
        return b"tree"


class Site:
    """An application, and the hook that its requests call."""

    def __init__(self) -> None:
        self.called = 0
        own: dict[str, Any] = {"request.dispatch": PathDispatcher(), "hooks.before_handler.count": self._count}
        self.application = DispatcherApplication(Tree(), "", {"/": own})

    def _count(self) -> None:
        self.called += 1

    def ask(self, path: str, method: str = "GET") -> tuple[str, dict[str, str], bytes]:
        """The status, the headers and the body of the answer."""
        told: list[Any] = []
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "HTTP_HOST": "localhost",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": None,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
        }
        answer = self.application(environ, lambda *head: told.extend(head[:2]))
        body = b"".join(answer)
        answer.close()
        return told[0], dict(told[1]), body


@pytest.fixture
def site() -> Iterator[Site]:
    before = dict(cherrypy.config)
    yield Site()
    cherrypy.config.clear()
    cherrypy.config.update(before)


def test_hooks_are_called_for_each_request(site: Site) -> None:
    assert [site.ask("/leaf/a")[2], site.ask("/leaf/b")[2]] == [b"a", b"b"]
    assert site.called == 2


def test_a_changed_configuration_holds_for_the_next_request(site: Site) -> None:
    assert "X-Later" not in site.ask("/leaf")[1]
    site.application.merge({"/": {"response.headers.X-Later": "yes"}})
    assert site.ask("/leaf")[1]["X-Later"] == "yes"
    assert site.ask("/leaf")[1]["X-Later"] == "yes"


def test_a_change_of_cherrypys_own_configuration_holds_too(site: Site) -> None:
    seen = []
    site.ask("/leaf")
    cherrypy.config.update({"hooks.before_handler.late": lambda: seen.append(cherrypy.request.path_info)})
    site.ask("/leaf/x")
    assert seen == ["/leaf/x"]


def test_a_section_for_a_path_holds_there_alone(site: Site) -> None:
    site.application.merge({"/leaf": {"response.headers.X-Here": "yes"}, "global": {"server.socket_port": 1}})
    assert site.ask("/leaf/a")[1]["X-Here"] == "yes"
    assert "X-Here" not in site.ask("/")[1]
    assert site.called == 2


def test_only_what_is_exposed_right_below_a_resource_is_found(site: Site) -> None:
    for path in ("/_hidden", "/leaf/GET/x", "/__class__", "/ask/leaf"):
        assert site.ask(path)[0] == "404 Not Found"
    assert site.ask("/leaf/GET")[2] == b"GET"


def test_an_answer_tells_neither_server_nor_more_methods_than_the_path_takes(site: Site) -> None:
    assert site.ask("/leaf", "DELETE")[0] == "405 Method Not Allowed"
    head = site.ask("/leaf")[1]
    assert (head["Allow"], "Server" in head) == ("GET, HEAD, OPTIONS", False)
