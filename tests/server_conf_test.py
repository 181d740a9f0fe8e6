"""``server.conf`` says of itself that each line holds the default."""

from pathlib import Path
from typing import Any

import cherrypy
from cherrypy._cpserver import Server
from cherrypy.lib.reprconf import Parser

from pacifica.dispatcher.__main__ import DEFAULTS

FILE = Path(__file__).parent.parent / "server.conf"


def default(key: str) -> Any:
    """What is in force where neither file nor command line say anything."""
    if key in DEFAULTS:
        return DEFAULTS[key]
    section, _, name = key.partition(".")
    return getattr({"server": Server(), "log": cherrypy.log}[section], name)


def test_each_line_of_server_conf_is_the_default() -> None:
    settings = Parser().dict_from_file(str(FILE))["global"]
    assert settings == {key: default(key) for key in settings}
