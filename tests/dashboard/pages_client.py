"""The pages as a WSGI application, without a server, and a browser's requests to them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from pacifica.dispatcher import rest
from pacifica.dispatcher.config.settings import AuthSettings, DashboardSettings, DispatcherSettings
from pacifica.dispatcher.core.registry import Registry, TaskSpec
from pacifica.dispatcher.service.new_job import JobFactory
from pacifica.dispatcher.service.tokens import Tokens
from pacifica.dispatcher.service.verbs import Service
from pacifica.dispatcher.store.database import Database
from pacifica.dispatcher.store.jobs import JobStore
from pacifica.dispatcher.store.tokens import TokenStore
from pacifica.dispatcher.web.auth import session_cookie

from ..monitoring.web_monitors import a_web_monitor
from ..store.conftest import a_waiting
from ..web.wsgi import respond

FORM = "application/x-www-form-urlencoded"
ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
"""The header of browsers that open a page."""


class Answer(NamedTuple):
    """The status, the headers and the text of an answer."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def title(self) -> str:
        found = re.search(r"<title>(.*?)</title>", self.text)
        return found[1] if found else ""


def add(x: int, y: int) -> int:
    """The sum of two numbers."""
    return x + y


class PagesClient:
    """Sends a browser's requests to a service on this database; ``tokens`` creates tokens."""

    def __init__(
        self,
        database: Database,
        mode: str = "full",
        root_path: str = "",
        registry: Registry | None = None,
        keep_keys: float = 0,
        **auth: Any,
    ) -> None:
        self.tokens = Tokens(TokenStore(database))
        self.jobs = JobStore(database)
        tasks = Registry([TaskSpec("add", add)]) if registry is None else registry
        new_jobs = JobFactory(max_attempts=3, keep_keys=keep_keys)
        service = Service(tasks, self.jobs, a_waiting(database), new_jobs)
        self.monitor = a_web_monitor(database)
        settings, own = AuthSettings(**auth), DispatcherSettings(root_path=root_path)
        self.tree = rest.mount(service, settings, self.tokens, own, self.monitor, DashboardSettings(mode=mode))

    def token(self, name: str, *scopes: str) -> str:
        return self.tokens.create(name, scopes, own=False, lifetime=None)[0]

    def ask(self, method: str, path: str, body: bytes = b"", **environ: Any) -> Answer:
        """Send a request of a browser on this machine; ``environ`` changes the WSGI environment."""
        path, _, query = path.partition("?")
        local = {"REMOTE_ADDR": "127.0.0.1", "HTTP_ACCEPT": ACCEPT, "QUERY_STRING": query}
        status, headers, content = respond(self.tree, method, path, body, **{**local, **environ})
        return Answer(int(status[:3]), headers, content.decode("utf-8", "replace"))

    def get(self, path: str, cookie: str | None = None, **environ: Any) -> Answer:
        own = {} if cookie is None else {"HTTP_COOKIE": f"{session_cookie.NAME}={cookie}"}
        return self.ask("GET", path, **{**own, **environ})

    def post(
        self, path: str, cookie: str | None = None, fields: Mapping[str, str | Sequence[str]] = {}, **environ: Any
    ) -> Answer:
        """Send a form, as a page of this site does."""
        own = {} if cookie is None else {"HTTP_COOKIE": f"{session_cookie.NAME}={cookie}"}
        site = {"CONTENT_TYPE": FORM, "HTTP_ORIGIN": "http://localhost", "HTTP_SEC_FETCH_SITE": "same-origin"}
        return self.ask("POST", path, urlencode(fields, doseq=True).encode(), **{**site, **own, **environ})
