"""A CherryPy page that does nothing: the limit beneath whatever is served by CherryPy."""

import sys
from typing import Any

import cherrypy


class Page:
    """One page."""

    @cherrypy.expose
    def index(self) -> str:
        """Thirty-six characters, as a dispatch answers."""
        return "01a20a87-952e-7637-b259-b34fb625e63a"


def build() -> Any:
    """As a WSGI callable."""
    cherrypy.config.update({"environment": "embedded", "log.screen": False})
    return cherrypy.tree.mount(Page(), "/")


if __name__ == "__main__":
    cherrypy.config.update({"log.screen": False, "server.socket_port": int(sys.argv[1]), "engine.autoreload.on": False})
    cherrypy.quickstart(Page(), "/")
else:
    application = build()
