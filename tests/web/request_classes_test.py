"""Objects that all requests share are rebuilt when their sources change."""

from collections.abc import Iterator
from typing import Any

import cherrypy
import pytest

from pacifica.dispatcher.web.dispatcher import PathDispatcher
from pacifica.dispatcher.web.request_classes import DispatcherApplication

from .wsgi import respond


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


class Application:
    """An application, and a count of the calls of its hook."""

    def __init__(self) -> None:
        self.called = 0
        own: dict[str, Any] = {"request.dispatch": PathDispatcher(), "hooks.before_handler.count": self._count}
        self.wsgi = DispatcherApplication(Tree(), "", {"/": own})

    def _count(self) -> None:
        self.called += 1

    def request(self, path: str, method: str = "GET") -> tuple[str, dict[str, str], bytes]:
        """The status, the headers and the body of the answer."""
        return respond(self.wsgi, method, path)


@pytest.fixture
def application() -> Iterator[Application]:
    before = dict(cherrypy.config)
    yield Application()
    cherrypy.config.clear()
    cherrypy.config.update(before)


def test_hooks_are_called_for_each_request(application: Application) -> None:
    assert [application.request("/leaf/a")[2], application.request("/leaf/b")[2]] == [b"a", b"b"]
    assert application.called == 2


def test_changed_configuration_applies_to_the_next_request(application: Application) -> None:
    assert "X-Later" not in application.request("/leaf")[1]
    application.wsgi.merge({"/": {"response.headers.X-Later": "yes"}})
    assert application.request("/leaf")[1]["X-Later"] == "yes"
    assert application.request("/leaf")[1]["X-Later"] == "yes"


def test_changed_configuration_of_cherrypy_applies_too(application: Application) -> None:
    seen = []
    application.request("/leaf")
    cherrypy.config.update({"hooks.before_handler.late": lambda: seen.append(cherrypy.request.path_info)})
    application.request("/leaf/x")
    assert seen == ["/leaf/x"]


def test_section_for_a_path_applies_only_there(application: Application) -> None:
    application.wsgi.merge({"/leaf": {"response.headers.X-Here": "yes"}, "global": {"server.socket_port": 1}})
    assert application.request("/leaf/a")[1]["X-Here"] == "yes"
    assert "X-Here" not in application.request("/")[1]
    assert application.called == 2


def test_only_exposed_resources_are_found(application: Application) -> None:
    for path in ("/_hidden", "/leaf/GET/x", "/__class__", "/ask/leaf"):
        assert application.request(path)[0] == "404 Not Found"
    assert application.request("/leaf/GET")[2] == b"GET"


def test_response_names_no_server_and_only_methods_of_its_path(application: Application) -> None:
    assert application.request("/leaf", "DELETE")[0] == "405 Method Not Allowed"
    headers = application.request("/leaf")[1]
    assert (headers["Allow"], "Server" in headers) == ("GET, HEAD, OPTIONS", False)
